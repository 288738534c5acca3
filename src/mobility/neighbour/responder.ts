import type { Ip } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import type { AnswerHoldInput } from './answer-hold.js';
import type { Host } from '../host/host.js';
import type { SightingMessage } from './message.js';
import { sendAnswer } from './send.js';

/** Answers a request in the name of somebody behind us, if the answering rule allows it. */
export function answer(ctx: TrackerContext, iface: IfIndex, message: SightingMessage): void {
  if (message.form !== 'request') return;
  const { ip: asker, mac, target } = message;
  if (!mayAnswer(ctx, iface, asker, target)) return;
  const at = { iface, mac };
  if (ctx.table.get(asker)?.stepAnswerHold({ input: 'asked', at, target }, ctx.now) === 'held') return;
  answerNow(ctx, at, asker, target);
}

function answerNow(ctx: TrackerContext, at: Attachment, asker: Ip, target: Ip): void {
  sendAnswer(ctx, at, asker, target);
  const name = ctx.topology.nameOf(at.iface) ?? '';
  ctx.emit({ kind: 'answered', asker, target, interface: name, at: ctx.now });
}

/** Gives the answers that were held back until the host's route is installed, if that is over. */
export function releaseAnswers(ctx: TrackerContext, host: Host, input: AnswerHoldInput): void {
  const { answerHold: hold } = host;
  if (host.stepAnswerHold(input, ctx.now) !== 'answer' || hold.kind === 'off') return;
  for (const target of hold.asked) answerNow(ctx, hold.at, host.ip, target);
}

/**
 * The answering rule (design.md 3.2). The answer says "send it to me", so it is given only where that is true and where
 * nobody else will say it: not for a probe or an announcement (a conflict, RFC 5227 section 2.1.1), not for a target
 * that is on that LAN itself, and not where the kernel answers.
 */
export function mayAnswer(ctx: TrackerContext, iface: IfIndex, asker: Ip, target: Ip): boolean {
  const { topology, table } = ctx;
  if (asker === target || topology.isNeverAnswered(asker) || topology.isLocal(asker)) return false;
  const visitor = !topology.isHome(iface, asker);
  if (topology.isLocalOn(target, iface)) return visitor && !passesReversePath(ctx, iface, asker);
  if (topology.isNeverAnswered(target) && !topology.isGateway(target)) return false;
  if (topology.isLocal(target)) return true;
  if (topology.isGateway(target)) return !ctx.otherRouters.isGatewayUsed(iface, target);

  const host = table.get(target);
  const here = host?.held === true && host.attachment?.iface === iface;
  if (here) return false;
  const elsewhere = host !== undefined && (host.claimed || host.state === 'away');
  if (topology.isHome(iface, target)) return elsewhere;
  if (!visitor) return false;
  if (host?.claimed === true) return true;
  const route = ctx.fib.bestRoute(target);
  return route !== undefined && route.type === 'unicast' && route.iface !== iface;
}

/** Whether the kernel itself answers a visitor on this interface: `rp_filter` applies to ARP as well. */
function passesReversePath(ctx: TrackerContext, iface: IfIndex, asker: Ip): boolean {
  const mode = ctx.topology.link(iface)?.rpFilter ?? 0;
  if (mode === 0) return true;
  const host = ctx.table.get(asker);
  if (host?.claimed === true) return mode === 2 || host.attachment?.iface === iface;
  const route = ctx.fib.bestRoute(asker);
  return route !== undefined && (mode === 2 || route.iface === iface);
}
