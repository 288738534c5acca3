import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ScenarioRunner } from './runner.js';
import type { Layout } from '../../scenario/world.js';
import type { Scenario } from '../../scenario/scenario.js';
import { DISPUTES } from '../../scenario/suites/contests.js';
import { FAILURES } from '../../scenario/suites/failures.js';
import { REDUNDANT } from '../../scenario/suites/redundant-routers.js';
import { RESTARTS } from '../../scenario/suites/restart.js';
import { ROAMING } from '../../scenario/suites/roaming.js';
import { VIRTUAL_SUBNET } from '../../scenario/suites/virtual-subnet.js';
import { SOAK } from '../kit/lab-test.js';

/**
 * The scenarios of test/scenario with real kernels, FRR's OSPF and the daemon as it is built. Every one of them is in
 * exactly one of these lists, and a test says so.
 */

type Choice = readonly [title: RegExp, why: string];

/** Always run: of each kind of scenario the one that asks most of the real kernel, in the time of a short run. */
const SHORT: readonly Choice[] = [
  [/^A to B, B to C, C to A/, 'A-B-C over three routers, the outage and the single announcer of each move'],
  [/^B back to A 250 ms after/, 'back within settle: two fresh claims meet in FRR'],
  [/^a host leaves home and returns, carrier drop false/, 'home, away, home; nothing of it is left in FRR'],
  [/^two living hosts with one address, one at home/, 'a duplicate'],
  [/^C5: a forged gratuitous-request for v on another router/, 'a forger'],
  [/^old daemon dead after settle/, "the old router's kernel and FRR alone, then an adoption"],
  [/^a move while the new router is cut off/, 'a link of the core fails and returns'],
  [/^RFC 7814: hosts of one subnet on two LANs/, 'proxy ARP for hosts known by their claims alone'],
  [
    /^RFC 7814: between .* gratuitous-request, carrier drop false/,
    'stale neighbours on both LANs, to and fro',
  ],
];

/** Run with MARPD_SOAK=1 only. */
const LONG: readonly Choice[] = [
  [/^newest claim wins/, 'three moves with all rests between; A-B-C has the same in the short run'],
  [/^a host leaves home and returns, carrier drop true/, 'the other one has the same'],
  [/^away: a neighbour on the home LAN/, 'mobility-frr-ospf has the neighbour'],
  [/^a home host that was never heard moves/, 'mobility-frr-ospf has it'],
  [/^B back to A (?!250 )\d+ ms/, 'other rests'],
  [/^home, away and home again/, 'as B back to A'],
  [/^home, and away again/, 'vm-migration has it with a guest'],
  [/^old daemon killed within settle, restarted 100 ms/, 'mobility-frr-ospf has it'],
  [/^new daemon killed 3 ms after the move/, 'mobility-frr-ospf has it'],
  [/^RFC 7432 section 15\.1: a clean mover/, '40 moves, a minute'],
  [/^a visitor dies silently/, 'the time of two keepalives'],
  [/^two living hosts with one address: the incumbent keeps it/, 'four minutes'],
  [/^RFC 7814: a host that has never spoken/, 'milliseconds'],
  [
    /^RFC 7814: between .* (gratuitous-request, carrier drop true|arp-gateway)/,
    'other hosts, other first words',
  ],
  [/^RFC 7814: to a LAN of another subnet and back/, 'the third LAN'],
  [/^RFC 7814: two living hosts/, 'the short run has a duplicate'],
  [/^RFC 7814: a router that starts again/, 'a restart'],
  [/^RFC 7814: a LAN loses its carrier/, 'a cable'],
  [/^RFC 9568: the active router claims/, 'every other scenario of them begins so'],
  [/^RFC 9568: case 1:/, 'redundant-routers has it'],
  [/^RFC 9568: case 2:/, 'the time of a keepalive, and a keepalived that tracks'],
  [/^RFC 9568: case [34]:/, 'two active routers; half a minute'],
  [/^RFC 9568: case 5:/, 'a moment that a busy box does not hit'],
  [/^RFC 9568: case 6:/, 'redundant-routers has a host that is away'],
  [/^RFC 9568: case 7:/, 'ten boots of a router, minutes'],
  [/^RFC 9568: case 8:/, 'a boot'],
  [/^RFC 9568: case 9:/, 'a failover, which redundant-routers has, and another host'],
  [/^RFC 9568: case 10:/, 'the time of a preempt delay'],
  [/^RFC 9568: case 11:/, 'redundant-routers has the switch back, with both alive'],
  [/^RFC 9568: case 12:/, 'four routers with keepalived and five FRRs'],
  [/^RFC 9568: case 13:/, 'the short run has a duplicate'],
  [/^C5: two marpds on one LAN/, 'a minute'],
  [/^C5: a forged (gratuitous-reply|request) for v on another router/, 'other frames'],
  [/^C5: a forged \S+ for h on another router/, 'another victim'],
  [/^C5: a forger that answers for/, 'seven minutes'],
  [/^`clear` for a host that is away/, 'mobility-frr-ospf clears after its disputes'],
  [/^`clear` for a host at home/, 'the kernel has no part in it'],
  [/^C5: shouting is no contest: .*\(two\)$/, 'half a minute'],
  // With the short run's keepalive it gives the host up before the link returns. FRR's core then still has the claim
  // that nobody could take back, and sends there for some seconds until the databases are compared.
  [/^a move while the old router is cut off/, 'needs the default keepalive'],
  [/^old daemon killed within settle, restarted 3000 ms/, 'another delay'],
  [/^new daemon killed (?!3 )\d+ ms after the move/, 'other delays'],
  [/^new daemon dead right after the move and for long/, 'half a minute'],
  [/^the new router itself dies right after/, 'a kill and a failed link, both in the short run'],
  [/^(kill|stop) and start of r[12]/, '28 moments, each a quarter of a minute'],
  [/^design\.md 3\.3: the interface of the old place goes admin down/, 'nine rounds, three minutes'],
];

/** Run in the simulator only. */
const UNFIT: readonly Choice[] = [
  // On a busy box a question takes longer, is answered after the return, and the host is one that lives at two places.
  [/^(B back to A|home, away and home again) (18|20|22|24) ms/, 'a matter of single milliseconds'],
  [
    /^RFC 7814: between .* rarp/,
    'no host of the real world announces itself by RARP; vm-migration has guests that do',
  ],
];
/** The routers of the real world have one LAN each; move, acd, rarp and survive have one with two. */
const simulatedOnly = (scenario: Scenario): boolean =>
  scenario.layout === 'one' || UNFIT.some(([title]) => title.test(scenario.title));

const SCENARIOS: readonly Scenario[] = [
  ...ROAMING,
  ...DISPUTES,
  ...FAILURES,
  ...RESTARTS,
  ...VIRTUAL_SUBNET,
  ...REDUNDANT,
];
const chosen = (choices: readonly Choice[], scenario: Scenario): boolean =>
  !simulatedOnly(scenario) && choices.some(([title]) => title.test(scenario.title));

const LIMIT_MS = SOAK ? 900_000 : 90_000;

/** `MARPD_SCENARIO='forged|duplicate'`: only those, of all that fit, for whoever looks for a fault. */
const WANTED = process.env.MARPD_SCENARIO;

/** Runs those of one layout, one after the other on one site. */
export function runScenarios(layout: Layout): void {
  describe(`real: layout ${layout}`, () => {
    const runner = new ScenarioRunner(layout);
    after(() => runner.close());
    for (const scenario of SCENARIOS) {
      if (scenario.layout !== layout || simulatedOnly(scenario)) continue;
      const wanted =
        WANTED === undefined ? SOAK || chosen(SHORT, scenario) : new RegExp(WANTED).test(scenario.title);
      if (wanted) it(scenario.title, { timeout: LIMIT_MS + 60_000 }, () => runner.run(scenario, LIMIT_MS));
    }
  });
}

/** Each scenario is in exactly one list, and each entry of a list names one. */
export function checkLists(): void {
  for (const scenario of SCENARIOS) {
    const places = [chosen(SHORT, scenario), chosen(LONG, scenario), simulatedOnly(scenario)].filter(Boolean);
    assert.equal(places.length, 1, `${scenario.title} is in ${places.length} lists`);
  }
  for (const [title] of [...SHORT, ...LONG]) {
    assert.ok(
      SCENARIOS.some((scenario) => !simulatedOnly(scenario) && title.test(scenario.title)),
      `no scenario is called ${title}`,
    );
  }
}
