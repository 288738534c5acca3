import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex } from '../../src/mobility/events.js';
import { type Ipv4, type Mac, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';
import type { Policy } from '../../src/mobility/policy.js';
import { Driver, IPS, LAN0, LAN1, MACS, frameOf, hostRoute, testPolicy, questionOf } from './driver.js';
import { runStep } from './steps.js';

/** Who is held is heard, and who asks is answered, whatever may be learned (design.md 3). */

const [HOME, OTHER] = IPS as unknown as readonly [Ipv4, Ipv4];
const VISITOR = IPS[4] as Ipv4;
const [ONE, TWO] = MACS as unknown as readonly [Mac, Mac];
const PODS = parsePrefix('10.244.1.0/24') as Prefix;

function start(change?: (policy: Policy) => Policy): Driver {
  const driver = new Driver(testPolicy({}, change));
  driver.boot();
  return driver;
}

function routeVia(driver: Driver, via: Ipv4, iface: IfIndex, change: 'add' | 'delete' = 'add'): void {
  const route = hostRoute(via, { prefix: PODS, via, iface });
  driver.handle({ kind: 'route', change, route, initial: false });
}

function ask(driver: Driver, iface: IfIndex, mac: Mac, asker: Ipv4, target: Ipv4): readonly Action[] {
  const bytes = questionOf(mac, asker, target);
  return driver.handle({ kind: 'frame', iface, bytes });
}

const isAnswered = (actions: readonly Action[]) =>
  actions.some((action) => action.kind === 'send' && action.purpose === 'answer');

const reasons = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'drop' ? [action.reason] : []));

describe('a host that becomes a next hop', () => {
  it('keeps its claim: its answers to keepalives and its frames count', () => {
    const driver = start();
    runStep(driver, { do: 'plug', iface: LAN1, ip: VISITOR, mac: ONE });
    driver.advance(5000);
    routeVia(driver, VISITOR, LAN1);
    for (let minute = 0; minute < 10; minute++) {
      driver.advance(60_000);
      assert.equal(driver.router.host(VISITOR)?.state, 'settled');
    }
  });

  it('keeps it when links change, and moves with the old route still there', () => {
    const driver = start();
    runStep(driver, { do: 'plug', iface: LAN1, ip: VISITOR, mac: ONE });
    driver.advance(5000);
    routeVia(driver, VISITOR, LAN1);
    runStep(driver, { do: 'plug', iface: LAN0, ip: VISITOR, mac: ONE });
    driver.advance(5000);
    assert.equal(driver.router.host(VISITOR)?.attachment?.iface, LAN0);
    driver.router.setPolicy(testPolicy(), driver.now);
    assert.equal(driver.router.host(VISITOR)?.state, 'settled');
  });

  it('is learned where its route leads, and nowhere else', () => {
    const driver = start();
    routeVia(driver, VISITOR, LAN1);
    driver.setAnswering(VISITOR, TWO, LAN0, true);
    const frame = frameOf('gratuitous', TWO, VISITOR);
    const refused = driver.handle({ kind: 'frame', iface: LAN0, bytes: frame });
    assert.deepEqual(reasons(refused), ['sender-ip-next-hop']);
    runStep(driver, { do: 'plug', iface: LAN1, ip: VISITOR, mac: ONE });
    driver.advance(5000);
    assert.equal(driver.router.host(VISITOR)?.attachment?.iface, LAN1);
  });
});

describe('who may not roam is served at home', () => {
  const net = (text: string) => parsePrefix(text) as Prefix;
  const cases: Readonly<Record<string, (policy: Policy) => Policy>> = {
    'not-allowed': (policy) => ({ ...policy, allow: [net('10.1.1.5/32')] }),
    denied: (policy) => ({ ...policy, deny: [net('10.1.1.6/32')] }),
    'mac-not-bound': (policy) => ({ ...policy, bindings: new Map([[OTHER, ONE]]) }),
    'sender-ip-next-hop': (policy) => policy,
    'host-limit': (policy) => ({ ...policy, limits: { ...policy.limits, hosts: 1 } }),
    'mac-limit': (policy) => ({
      ...policy,
      limits: { ...policy.limits, addressesPerMac: { ipv4: 0, ipv6: 0 } },
    }),
  };
  for (const [reason, change] of Object.entries(cases))
    it(`${reason}: its requests for a host that moved are answered`, () => {
      const driver = start(reason === 'mac-limit' ? undefined : change);
      runStep(driver, { do: 'plug', iface: LAN1, ip: HOME, mac: ONE });
      driver.advance(5000);
      assert.equal(driver.router.host(HOME)?.state, 'settled');
      if (reason === 'mac-limit') driver.router.setPolicy(change(driver.policy), driver.now);
      if (reason === 'sender-ip-next-hop') routeVia(driver, OTHER, LAN1);
      const actions = ask(driver, LAN0, TWO, OTHER, HOME);
      assert.deepEqual(reasons(actions), [reason]);
      assert.ok(isAnswered(actions));
    });

  it("an address that can be nobody's, or is ours, asks in vain", () => {
    const driver = start();
    runStep(driver, { do: 'plug', iface: LAN1, ip: HOME, mac: ONE });
    driver.advance(5000);
    for (const asker of ['224.0.0.5', '127.0.0.1', '10.1.1.255', '10.2.2.1'])
      assert.ok(!isAnswered(ask(driver, LAN0, TWO, parseIp(asker) as Ipv4, HOME)), asker);
  });
});
