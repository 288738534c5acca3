import { type Ip, MAC_BROADCAST } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import type { AnswerHoldInput } from './answer-hold.js';
import type { Host } from '../host/host.js';
import { answeringRow } from './answering-rule.js';
import { type Reply, questionOf } from './asker.js';
import type { Asker, LanQuery } from './lan-queries.js';
import type { PresenceMessage, SightingMessage } from './message.js';
import { probeSource, sendAnswer, sendProbe, sendRepair } from './send.js';

/** Answers a question in the name of somebody behind us, if the answering rule allows it. */
export function answer(
  ctx: TrackerContext,
  iface: IfIndex,
  message: SightingMessage | PresenceMessage,
): void {
  const isQuestion = message.form === 'request' || message.form === 'link-local-solicitation';
  const question = isQuestion ? questionOf(ctx, iface, message) : undefined;
  if (question === undefined) return;
  const { at, asker, replyTo, target, isAstray } = question;
  const row = answeringRow(ctx, iface, asker, target, isAstray);
  const reply = replyOf(asker, replyTo, isAstray);
  if (row.isKept === true) ctx.openQuestions.note(target, { at, asker, reply, askedAt: ctx.now });
  switch (row.answer) {
    case 'answer':
      return answerWhenRouted(ctx, at, asker, target, reply);
    case 'ask first':
      return askLan(ctx, target, { at, ip: asker, wants: 'answer', reply });
    case 'silence':
  }
}

/** What most questions need not say. */
function replyOf(asker: Ip, to: Ip, isAstray: boolean): Reply | undefined {
  return asker === to && !isAstray ? undefined : { to, isAstray };
}

/** Where this address is has become known: whoever has just asked for it is answered, if the rule says so by now. */
export function answerOpenQuestions(ctx: TrackerContext, target: Ip): void {
  const answerable = ctx.openQuestions.take(
    target,
    ctx.now,
    ({ at, asker }) => answeringRow(ctx, at.iface, asker, target).answer === 'answer',
  );
  for (const { at, asker, reply } of answerable) answerWhenRouted(ctx, at, asker, target, reply);
}

function answerWhenRouted(
  ctx: TrackerContext,
  at: Attachment,
  asker: Ip,
  target: Ip,
  reply: Reply | undefined,
): void {
  const isAstray = reply?.isAstray === true;
  if (ctx.table.get(asker)?.stepAnswerHold({ input: 'asked', at, target, isAstray }, ctx.now) === 'held')
    return;
  answerNow(ctx, at, asker, target, reply);
}

function answerNow(
  ctx: TrackerContext,
  at: Attachment,
  asker: Ip,
  target: Ip,
  { to, isAstray }: Reply = { to: asker, isAstray: false },
): void {
  sendAnswer(ctx, at, to, target, isAstray);
  const name = ctx.topology.nameOf(at.iface) ?? '';
  ctx.emit({ kind: 'answered', asker, target, interface: name, at: ctx.now });
}

/** Gives the answers that were held back until the host's route is installed, if that is over. */
export function releaseAnswers(ctx: TrackerContext, host: Host, input: AnswerHoldInput): void {
  const { answerHold: hold } = host;
  if (host.stepAnswerHold(input, ctx.now) !== 'answer' || hold.kind === 'off') return;
  for (const target of hold.asked) {
    const isAstray = hold.astray?.includes(target) === true;
    answerNow(ctx, hold.at, host.ip, target, { to: host.ip, isAstray });
  }
}

/** Whether somebody on the LAN of the asker has the target is asked there first; `asker` is served when nobody has. */
export function askLan(ctx: TrackerContext, target: Ip, asker: Asker): void {
  const { iface } = asker.at;
  const query = ctx.lanQueries.get(iface, target) ?? ctx.lanQueries.open(iface, target, ctx.now);
  if (query === undefined) return;
  query.wait(asker);
  if (query.step({ input: 'wanted' }, ctx.now) === 'ask') sendQuestion(ctx, query);
  ctx.lanQueries.touch(query);
}

/**
 * Asked first in our own name: hosts there may be waiting for their gateway, and would send before they have a route
 * (design.md 3.2, "Prove"). Then in the name that the target knows.
 */
function sendQuestion(ctx: TrackerContext, { iface, target, state }: LanQuery): void {
  const own = state.kind === 'asking' && state.sent === 1 ? ctx.topology.addressOn(iface, target) : undefined;
  const source = own ?? probeSource(ctx, iface, target);
  if (source !== undefined) sendProbe(ctx, { iface, mac: MAC_BROADCAST }, source, target);
}

/** A frame of somebody with this address was heard on a LAN. */
export function noteOnLan(ctx: TrackerContext, iface: IfIndex, ip: Ip): void {
  const query = ctx.lanQueries.get(iface, ip);
  if (query === undefined) return;
  query.step({ input: 'heard' }, ctx.now);
  if (query.state.kind === 'taken') query.takeAskers();
  ctx.lanQueries.touch(query);
}

/** Questions to LANs that are due: asked once more, or closed. */
export function runLanQueries(ctx: TrackerContext): void {
  for (;;) {
    const query = ctx.lanQueries.takeDue(ctx.now);
    if (query === undefined) return;
    const listening = ctx.topology.isListening(query.iface);
    const outcome = query.step({ input: 'due', listening }, ctx.now);
    if (outcome === 'ask') sendQuestion(ctx, query);
    ctx.lanQueries.touch(query);
    if (outcome === 'nobody') for (const asker of query.takeAskers()) serve(ctx, query.target, asker);
  }
}

/** Nobody on its LAN has it. What is known may have changed meanwhile. */
function serve(ctx: TrackerContext, target: Ip, { at, ip, wants, reply }: Asker): void {
  if (answeringRow(ctx, at.iface, ip, target).answer !== 'answer') return;
  if (wants === 'answer') return answerWhenRouted(ctx, at, ip, target, reply);
  if (ctx.table.get(ip)?.isHeldAt(at.iface, at.mac)) sendRepair(ctx, at, ip, target, undefined);
}
