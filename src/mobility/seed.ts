import type { TrackerContext } from './context.js';
import type { Event } from './events.js';
import { Host } from './host/host.js';
import { mayContest } from './routers/roles.js';
import type { Ip } from '../wire/addresses.js';

/** How a recording begins that begins in the middle: another tracker goes on from there exactly as this one does. */

/** The links, and which of them are captured. */
export function* seedEvents({ topology }: TrackerContext): Generator<Event> {
  for (const link of topology.allLinks()) yield { kind: 'link', link };
  for (const { index } of topology.allLinks())
    if (topology.isCapturing(index)) yield { kind: 'capture', iface: index, open: true };
}

/** All else that decisions depend on, as plain data. It refers to what the tracker has: to be written down at once. */
export function snapshot(ctx: TrackerContext, awaitedAt: number) {
  return {
    now: ctx.now,
    awaitedAt,
    queuedMs: ctx.queuedMs,
    captured: ctx.topology.captured,
    fib: ctx.fib.snapshot(),
    table: ctx.table.snapshot(),
    deadlines: ctx.deadlines.snapshot((host) => (ctx.table.get(host.ip) === host ? host.ip : undefined)),
    counts: ctx.counts,
    remembered: [...ctx.remembered].map(({ ip }) => ip),
    otherRouters: ctx.otherRouters.snapshot(),
    lanQueries: ctx.lanQueries.snapshot(),
    openQuestions: ctx.openQuestions.snapshot(),
    discovery: ctx.discovery.snapshot(),
    multicastRouter: ctx.multicastRouter.snapshot(),
    homePrefixes: ctx.homePrefixes.snapshot(),
    roles: ctx.roles.snapshot(),
    lateStandby: ctx.lateStandby.snapshot(),
    addressLookups: ctx.addressLookups.snapshot(),
    limits: ctx.limits.snapshot(),
    unanswered: ctx.unanswered.snapshot(),
    waiting: ctx.waiting.snapshot(),
    lateAnswers: ctx.lateAnswers.snapshot(),
    missed: ctx.missed.snapshot(),
    ports: ctx.ports,
    neighbours: ctx.neighbours,
    lookups: ctx.lookups,
  };
}

export type Snapshot = ReturnType<typeof snapshot>;

/** Into a context that knows the links and nothing else. It keeps what it is given. */
export function restore(ctx: TrackerContext, state: Snapshot): void {
  ctx.now = state.now;
  ctx.queuedMs = state.queuedMs;
  for (const iface of state.captured) ctx.topology.setCapturing(iface, true);
  ctx.fib.restore(state.fib);
  ctx.table.restore(state.table);
  const gone = new Host(0 as Ip);
  ctx.deadlines.restore(state.deadlines, (ip) => (ip === null ? gone : (ctx.table.get(ip) ?? gone)));
  Object.assign(ctx.counts, state.counts);
  for (const ip of state.remembered) {
    const host = ctx.table.get(ip);
    if (host !== undefined) ctx.remembered.add(host);
  }
  ctx.otherRouters.restore(state.otherRouters);
  ctx.lanQueries.restore(state.lanQueries);
  ctx.openQuestions.restore(state.openQuestions);
  ctx.discovery.restore(state.discovery);
  ctx.multicastRouter.restore(state.multicastRouter);
  ctx.homePrefixes.restore(state.homePrefixes);
  ctx.roles.restore(state.roles, (ip) => ctx.table.get(ip));
  ctx.lateStandby.restore(state.lateStandby);
  for (const { index } of ctx.topology.allLinks()) {
    const rule = ctx.topology.rule(index);
    if (rule === undefined) continue;
    for (const family of ctx.policy.families) {
      const role = ctx.roles.on(index, family);
      if (role === undefined) continue;
      ctx.topology.roles.setSilent(index, family, role.kind === 'standby');
      const defers = rule.role === 'alone' && ctx.otherRouters.isGatewayOfLan(index, family, ctx.topology);
      ctx.topology.roles.setDeferring(index, family, defers);
      ctx.topology.roles.setContests(index, family, mayContest(rule.role, role.kind) && !defers);
    }
  }
  ctx.addressLookups.restore(state.addressLookups);
  ctx.limits.restore(state.limits);
  ctx.unanswered.restore(state.unanswered);
  ctx.waiting.restore(state.waiting);
  ctx.lateAnswers.restore(state.lateAnswers);
  ctx.missed.restore(state.missed);
  for (const [bridge, ports] of state.ports) ctx.ports.set(bridge, ports);
  for (const [iface, known] of state.neighbours) ctx.neighbours.set(iface, known);
  for (const [ip, waiting] of state.lookups) ctx.lookups.set(ip, waiting);
}
