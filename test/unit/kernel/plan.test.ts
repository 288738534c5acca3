import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { commandFor, isPlainDeviceName } from '../../../src/kernel/ip/commands.js';
import { toOutcome } from '../../../src/kernel/ip/executor.js';
import { LOST } from '../../../src/kernel/ip/process.js';
import { Ledger, type LedgerEntry, noteOutcomes } from '../../../src/kernel/claims/ledger.js';
import { BulkScheduler, WorkQueue, type Queued } from '../../../src/kernel/claims/work-queue.js';
import { type Claim, STUCK_ROUTE_REPAIR, type Slots, planSteps } from '../../../src/kernel/claims/plan.js';
import { parseRules, planRules } from '../../../src/kernel/ip/rules.js';
import { type Ip, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';

const SLOTS: Slots = {
  protocol: 44,
  fresh: { table: 254, metric: 1 },
  settled: { table: 254, metric: 3523215362 },
};
const IP = parseIp('10.1.1.5') as Ip;
const MAC = parseMac('02:00:0a:01:01:05') as Mac;

const claim = (dev: string, age: 'fresh' | 'settled' = 'fresh', mac: Mac | undefined = MAC): Claim => ({
  ip: IP,
  iface: Number(dev.slice(3)) + 10,
  dev,
  mac,
  age,
});
const entry = (state: Partial<LedgerEntry> = {}): LedgerEntry => Object.assign(new Ledger().take(IP), state);
const commands = (holding: LedgerEntry) => planSteps(holding).map((step) => commandFor(step, IP, SLOTS));

const SET0 =
  'neigh replace 10.1.1.5 lladdr 02:00:0a:01:01:05 dev lan0 nud permanent extern_learn protocol 44';
const FRESH = 'proto 44 metric 1 table 254';
const SETTLED = 'proto 44 metric 3523215362 table 254';

describe('the commands from what there is to what is wanted (design.md 3.2, 3.3)', () => {
  it('a newcomer: neighbour first, then the route', () => {
    assert.deepEqual(commands(entry({ want: claim('lan0') })), [
      SET0,
      `route add 10.1.1.5/32 dev lan0 scope link ${FRESH}`,
    ]);
  });

  it('ageing: the settled route comes before the fresh one goes, the neighbour stays', () => {
    const fresh = claim('lan0');
    const holding = entry({ want: claim('lan0', 'settled'), fresh, neighbour: fresh });
    assert.deepEqual(commands(holding), [
      `route add 10.1.1.5/32 dev lan0 scope link ${SETTLED}`,
      `route del 10.1.1.5/32 ${FRESH}`,
    ]);
  });

  it('a re-claim makes the settled one fresh in the same way', () => {
    const settled = claim('lan0', 'settled');
    assert.deepEqual(commands(entry({ want: claim('lan0'), settled, neighbour: settled })), [
      `route add 10.1.1.5/32 dev lan0 scope link ${FRESH}`,
      `route del 10.1.1.5/32 ${SETTLED}`,
    ]);
  });

  it('a move: the new way first, all of the old one after', () => {
    const old = claim('lan0');
    assert.deepEqual(commands(entry({ want: claim('lan1'), fresh: old, neighbour: old })), [
      SET0.replace('lan0', 'lan1'),
      `route replace 10.1.1.5/32 dev lan1 scope link ${FRESH}`,
      'neigh del 10.1.1.5 dev lan0',
    ]);
    const settled = claim('lan0', 'settled');
    assert.deepEqual(commands(entry({ want: claim('lan1'), settled, neighbour: settled })), [
      SET0.replace('lan0', 'lan1'),
      `route add 10.1.1.5/32 dev lan1 scope link ${FRESH}`,
      `route del 10.1.1.5/32 ${SETTLED}`,
      'neigh del 10.1.1.5 dev lan0',
    ]);
  });

  it('another MAC at the same place changes the neighbour only', () => {
    const old = claim('lan0', 'fresh', parseMac('02:00:00:00:00:01'));
    assert.deepEqual(commands(entry({ want: claim('lan0'), fresh: old, neighbour: old })), [SET0]);
  });

  it('a release: routes of both ages, then the neighbour', () => {
    const old = claim('lan0');
    assert.deepEqual(commands(entry({ fresh: old, settled: old, neighbour: old })), [
      `route del 10.1.1.5/32 ${SETTLED}`,
      `route del 10.1.1.5/32 ${FRESH}`,
      'neigh del 10.1.1.5 dev lan0',
    ]);
    assert.deepEqual(commands(entry()), []);
  });

  it('a stuck-route repair leads nowhere, and gives way to a claim', () => {
    assert.deepEqual(commands(entry({ stuckRouteRepair: true })), [
      `route add blackhole 10.1.1.5/32 ${SETTLED}`,
    ]);
    assert.deepEqual(commands(entry({ settled: STUCK_ROUTE_REPAIR })), [`route del 10.1.1.5/32 ${SETTLED}`]);
    assert.deepEqual(commands(entry({ want: claim('lan0'), settled: STUCK_ROUTE_REPAIR })).slice(1), [
      `route add 10.1.1.5/32 dev lan0 scope link ${FRESH}`,
      `route del 10.1.1.5/32 ${SETTLED}`,
    ]);
  });

  it('a permanent neighbour entry of somebody else is left alone', () => {
    const holding = entry({ want: claim('lan0'), neighbour: undefined });
    const steps = planSteps(holding, (_, dev) => dev === 'lan0');
    assert.deepEqual(
      steps.map(({ op }) => op),
      ['add-route'],
    );
    const moved = entry({ want: claim('lan1'), fresh: claim('lan0'), neighbour: claim('lan0') });
    assert.ok(!planSteps(moved, (_, dev) => dev === 'lan0').some(({ op }) => op === 'drop-neighbour'));
  });

  it('IPv6 takes the same steps with /128', () => {
    const ip = parseIp('fd00::5') as Ip;
    const want = { ...claim('lan0'), ip };
    const holding = Object.assign(new Ledger().take(ip), { want });
    assert.deepEqual(
      planSteps(holding).map((step) => commandFor(step, ip, SLOTS)),
      [
        'neigh replace fd00::5 lladdr 02:00:0a:01:01:05 dev lan0 nud permanent extern_learn protocol 44',
        `route add fd00::5/128 dev lan0 ${FRESH}`,
      ],
    );
  });

  it('what is left in doubt is made sure: no deletion of a neighbour that may not be there', () => {
    const holding = entry({ unverified: [claim('lan0')] });
    assert.deepEqual(commands(holding), [
      `route del 10.1.1.5/32 ${SETTLED}`,
      `route del 10.1.1.5/32 ${FRESH}`,
      SET0,
      'neigh del 10.1.1.5 dev lan0',
    ]);
  });

  it('only device names that cannot break a line reach ip -batch', () => {
    for (const good of ['lan0', 'tap-vm.7', 'br@x', 'a:b', '-x', 'vlan%d'])
      assert.ok(isPlainDeviceName(good), good);
    for (const bad of ['', 'a b', 'a\nb', "a'b", 'a"b', 'a#b', 'a\\b', 'ä', 'a'.repeat(16), 'a/b', 'a\t']) {
      assert.ok(!isPlainDeviceName(bad), bad);
      assert.throws(() => commandFor({ op: 'forget-neighbour', device: { dev: bad, iface: 2 } }, IP, SLOTS));
    }
  });
});

describe('the books', () => {
  /** A kernel that carries out steps for one address, but dies of what ip dies of. */
  class ToyKernel {
    readonly routes = new Map<string, string>();
    readonly neighbours = new Map<string, Mac>();

    carryOut(steps: ReturnType<typeof planSteps>, dieAt: number): (string | undefined)[] {
      const outcomes: (string | undefined)[] = [];
      steps.forEach((step, at) => {
        if (outcomes.includes(LOST)) outcomes[at] = LOST;
        else if (at === dieAt) outcomes[at] = LOST; // died before, or after: the next line decides
        if (at > dieAt || (at === dieAt && at % 2 === 0)) return;
        const key = 'age' in step ? step.age : step.claim.dev;
        switch (step.op) {
          case 'add-route':
          case 'replace-route': {
            const taken = this.routes.has(key) && step.op === 'add-route';
            if (taken) outcomes[at] ??= 'RTNETLINK answers: File exists';
            else
              this.routes.set(
                key,
                step.occupant === STUCK_ROUTE_REPAIR ? STUCK_ROUTE_REPAIR : step.occupant.dev,
              );
            break;
          }
          case 'drop-route':
            if (!this.routes.delete(key)) outcomes[at] ??= 'RTNETLINK answers: No such process';
            break;
          case 'set-neighbour':
            this.neighbours.set(key, step.claim.mac);
            break;
          case 'drop-neighbour':
            assert.ok(this.neighbours.delete(key) || at === dieAt, 'a deletion that ends the co-process');
        }
      });
      return outcomes;
    }
  }

  it('agree with the kernel after any wishes and any deaths of the co-process', () => {
    const wish = fc.record({
      want: fc.oneof(
        fc.constant(undefined),
        fc.record({ dev: fc.constantFrom('lan0', 'lan1', 'lan2'), age: fc.constantFrom('fresh', 'settled') }),
      ),
      deaths: fc.array(fc.nat(6), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(wish, { minLength: 1, maxLength: 12 }), (wishes) => {
        const kernel = new ToyKernel();
        const holding = entry();
        for (const { want, deaths } of wishes) {
          holding.want = want === undefined ? undefined : claim(want.dev, want.age as 'fresh' | 'settled');
          for (const dieAt of [...deaths, 99]) {
            const steps = planSteps(holding);
            noteOutcomes(holding, steps, kernel.carryOut(steps, dieAt).map(toOutcome));
            // A slot found taken is looked up; here it can only be ours.
            if (holding.conflict) {
              holding.conflict = false;
              for (const age of ['fresh', 'settled'] as const) {
                const dev = kernel.routes.get(age);
                holding[age] = dev === undefined ? undefined : claim(dev, age);
              }
            }
          }
          for (let more = planSteps(holding); more.length > 0; more = planSteps(holding)) {
            noteOutcomes(holding, more, kernel.carryOut(more, 99).map(toOutcome));
          }
          assert.deepEqual([...kernel.routes], want === undefined ? [] : [[want.age, want.dev]]);
          assert.deepEqual([...kernel.neighbours.keys()], want === undefined ? [] : [want.dev]);
        }
      }),
    );
  });

  it('a deletion of what is not there is as good as done', () => {
    const old = claim('lan0');
    const holding = entry({ fresh: old });
    const steps = planSteps(holding);
    assert.equal(noteOutcomes(holding, steps, [toOutcome('RTNETLINK answers: No such process')]), undefined);
    assert.equal(holding.fresh, undefined);
  });

  it('a deletion that was lost does not make the next one, by somebody else, pass for ours', () => {
    const held = claim('lan0');
    const holding = entry({
      fresh: held,
      neighbour: held,
      pendingRouteDeletes: 1,
      pendingNeighbourDeletes: 1,
    });
    const lost = planSteps(holding).map(() => toOutcome(LOST));
    noteOutcomes(holding, planSteps(holding), lost);
    assert.deepEqual([holding.pendingRouteDeletes, holding.pendingNeighbourDeletes], [0, 0]);
  });

  it('the refusal that stands in the way is told', () => {
    const holding = entry({ want: claim('lan0') });
    const refusal = 'Error: Device for nexthop is not up.';
    assert.equal(
      noteOutcomes(holding, planSteps(holding), [undefined, toOutcome(refusal)])?.message,
      refusal,
    );
    assert.equal(holding.fresh, undefined);
    assert.equal(holding.neighbour?.dev, 'lan0');
  });
});

describe('the work queue', () => {
  const item = (): Queued => ({ workClass: undefined });

  it('an item that moved to the urgent class is served once', () => {
    const queue = new WorkQueue<Queued>();
    const [a, b] = [item(), item()];
    queue.push(a, 'bulk');
    queue.push(b, 'bulk');
    queue.push(a, 'urgent');
    assert.equal(queue.shift('urgent'), a);
    assert.equal(queue.shift('urgent'), undefined);
    assert.equal(queue.waiting('urgent'), 0);
    assert.equal(queue.shift('bulk'), b);
    assert.equal(queue.shift('bulk'), undefined);
    assert.equal(queue.length, 0);
  });
});

describe('turns of bulk work', () => {
  const WAITS = true;

  it('none in a burst, all 20 ms after it', () => {
    const turns = new BulkScheduler();
    assert.equal(turns.next(false, WAITS, 0), 'all');
    assert.equal(turns.next(true, WAITS, 100), 'nothing');
    assert.equal(turns.next(false, WAITS, 119), 'nothing');
    assert.equal(turns.next(false, WAITS, 120), 'all');
    assert.equal(turns.next(false, false, 121), 'nothing');
  });

  it('a share once it has waited for a second, until it need not wait any more', () => {
    const turns = new BulkScheduler();
    const inBurst = (now: number) => turns.next(true, WAITS, now);
    assert.deepEqual([0, 10, 999, 1000, 1010].map(inBurst), [
      'nothing',
      'nothing',
      'nothing',
      'share',
      'share',
    ]);
    assert.equal(turns.next(true, false, 1020), 'nothing', 'all done');
    assert.deepEqual([1030, 2029, 2030].map(inBurst), ['nothing', 'nothing', 'share']);
    assert.equal(turns.next(false, WAITS, 2050), 'all');
    assert.equal(inBurst(2051), 'nothing');
  });
});

describe('rules: fresh, remote, settled in this order (design.md 3.3)', () => {
  const plan = (freshTable: number, watchTables: number[], settledTable: number) =>
    planRules({ protocol: 44, freshTable, watchTables, settledTable }).map(
      ({ table, hostOnly }) => `${table}${hostOnly ? ' hosts' : ''}`,
    );

  it('none when all is in main: the metrics order them', () => {
    assert.deepEqual(plan(254, [254], 254), []);
  });

  it('a table each, all before main', () => {
    assert.deepEqual(plan(100, [101], 102), ['100', '101', '102']);
    assert.deepEqual(plan(100, [100], 100), ['100']);
  });

  it('main in between is asked for host routes only, or its default route would hide the settled claims', () => {
    assert.deepEqual(plan(100, [254], 102), ['100', '254 hosts', '102']);
    assert.deepEqual(plan(254, [101], 102), ['254 hosts', '101', '102']);
  });

  it('an order that no rules can make is refused', () => {
    assert.throws(() => plan(254, [101], 254), /254/);
    assert.throws(() => plan(100, [101, 100], 102), /100/);
  });

  it('ours are those with our protocol number', () => {
    const json =
      '[{"priority":0,"src":"all","table":"255"},{"priority":32000,"src":"all","table":"100","protocol":"44"},{"priority":32001,"src":"all","table":"254","suppress_prefixlen":31,"protocol":"44"},{"priority":32766,"src":"all","table":"254"}]';
    assert.deepEqual(parseRules(json, 44), [
      { priority: 32000, table: 100, hostOnly: false },
      { priority: 32001, table: 254, hostOnly: true },
    ]);
    assert.deepEqual(parseRules('', 44), []);
  });

  it('for IPv6 main is asked for its /128 routes (RFC 4291 section 2.4: 128 bits)', () => {
    const json = '[{"priority":32001,"src":"all","table":"254","suppress_prefixlen":127,"protocol":"44"}]';
    assert.deepEqual(parseRules(json, 44, 'ipv6'), [{ priority: 32001, table: 254, hostOnly: true }]);
    assert.equal(parseRules(json, 44, 'ipv4')[0]?.hostOnly, false);
  });
});
