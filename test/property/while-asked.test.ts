import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ipv4, type Mac, type Prefix, parsePrefix } from '../../src/wire/addresses.js';
import { ARP_REPLY, encodeArp } from '../../src/wire/arp.js';
import {
  Driver,
  frameOf,
  GATEWAY,
  hostRoute,
  IPS,
  LAN0,
  LAN1,
  link,
  MACS,
  OUR_MAC,
  testPolicy,
  WAN,
} from './driver.js';

/** What changes while a host is being asked. */

const [HOME0, , , , VISITOR, OTHER] = IPS as unknown as readonly [Ipv4, Ipv4, Ipv4, Ipv4, Ipv4, Ipv4];
const [ONE, TWO] = MACS as unknown as readonly [Mac, Mac];

function driverOf(policy = testPolicy()): Driver {
  const driver = new Driver(policy);
  driver.boot();
  return driver;
}

function says(driver: Driver, iface: number, mac: Mac, ip: Ipv4): void {
  driver.handle({ kind: 'frame', iface, bytes: frameOf('gratuitous', mac, ip) });
}

function answers(driver: Driver, iface: number, mac: Mac, ip: Ipv4, targetIp: Ipv4): void {
  const own = OUR_MAC[iface] as Mac;
  const pair = { source: mac, senderMac: mac, senderIp: ip };
  const bytes = encodeArp({ ...pair, destination: own, opcode: ARP_REPLY, targetMac: own, targetIp });
  driver.handle({ kind: 'frame', iface, bytes });
}

function settled(driver: Driver, iface: number, mac: Mac, ip: Ipv4): void {
  driver.setAnswering(ip, mac, iface, true);
  says(driver, iface, mac, ip);
  driver.advance(1100);
  assert.equal(driver.router.host(ip)?.held, true);
}

function remote(driver: Driver, ip: Ipv4): void {
  driver.handle({ kind: 'route', change: 'add', route: hostRoute(ip), initial: false });
}

function stateOf(driver: Driver, ip: Ipv4): string {
  const { state, interface: name } = driver.router.host(ip) ?? { state: 'none', interface: '' };
  return `${state} ${name ?? ''}`.trim();
}

describe('while a host is asked', () => {
  for (const change of ['deleted', 'renamed'] as const)
    it(`the interface of the old place is ${change} after it answered: it is no place any more`, () => {
      const driver = driverOf();
      driver.setAnswering(HOME0, ONE, LAN0, true);
      says(driver, LAN1, TWO, HOME0);
      driver.advance(20);
      if (change === 'deleted') driver.handle({ kind: 'link-gone', iface: LAN0 });
      else driver.handle({ kind: 'link', link: link(LAN0, { name: 'eth9' }) });
      driver.advance(5000);
      assert.equal(driver.router.host(HOME0), undefined);
    });

  it('the interface of the incumbent is deleted: the challenger that answers has the address', () => {
    const driver = driverOf();
    settled(driver, LAN0, ONE, VISITOR);
    driver.delays.set(TWO, 100);
    driver.setAnswering(VISITOR, TWO, LAN1, true);
    says(driver, LAN1, TWO, VISITOR);
    driver.advance(50);
    driver.handle({ kind: 'link-gone', iface: LAN0 });
    driver.advance(150);
    assert.equal(stateOf(driver, VISITOR), 'fresh lan1');
  });

  it('policy forbids the place that answered: nothing is claimed there', () => {
    const policy = testPolicy({ learn: 'all' });
    const driver = driverOf(policy);
    driver.setAnswering(HOME0, ONE, LAN0, true);
    says(driver, LAN1, TWO, HOME0);
    driver.advance(20);
    driver.setPolicy({ ...policy, deny: [{ ip: HOME0, length: 32 }] });
    driver.advance(5000);
    assert.equal(driver.claims(), 0);
  });

  it('a late answer from the old place does not end the proof at the new one', () => {
    const driver = driverOf();
    settled(driver, LAN0, ONE, VISITOR);
    driver.setAnswering(VISITOR, ONE, LAN0, false);
    driver.advance(6900);
    assert.equal(stateOf(driver, VISITOR), 'remembered lan0');
    assert.deepEqual(driver.router.host(VISITOR)?.candidates, [], 'nobody is asked there at this moment');
    driver.delays.set(ONE, 20);
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    says(driver, LAN1, ONE, VISITOR);
    answers(driver, LAN0, ONE, VISITOR, GATEWAY);
    assert.equal(driver.claims(), 0, 'the old place is not claimed again');
    driver.advance(100);
    assert.equal(stateOf(driver, VISITOR), 'fresh lan1');
  });

  it('a home host is claimed by another router: it is away, not merely remembered', () => {
    const driver = driverOf();
    settled(driver, LAN0, ONE, HOME0);
    driver.setAnswering(HOME0, ONE, LAN0, false);
    driver.handle({ kind: 'link', link: link(LAN0, { carrier: false }) });
    driver.handle({ kind: 'link', link: link(LAN0) });
    driver.advance(100);
    assert.equal(stateOf(driver, HOME0), 'proving lan0');
    remote(driver, HOME0);
    driver.advance(2000);
    assert.equal(stateOf(driver, HOME0), 'away lan0');
  });

  it('whoever answers slowly in its name elsewhere does not prolong its own time to answer', () => {
    const driver = driverOf();
    settled(driver, LAN0, ONE, VISITOR);
    driver.delays.set(TWO, 450);
    driver.setAnswering(VISITOR, TWO, LAN1, true);
    says(driver, LAN1, TWO, VISITOR);
    driver.advance(600);
    assert.equal(driver.router.host(VISITOR)?.slowestMs, undefined);
    assert.ok(driver.router.host(VISITOR)?.isHeldAt(LAN0, ONE));
  });

  it('no address is left that it could be asked from: it is not proven for ever', () => {
    const policy = { ...testPolicy(), subnets: [], allow: [parsePrefix('10.0.0.0/8') as Prefix] };
    const driver = driverOf(policy);
    settled(driver, LAN0, ONE, HOME0);
    assert.equal(stateOf(driver, HOME0), 'home lan0');
    for (const index of [WAN, LAN1, LAN0])
      driver.handle({ kind: 'link', link: link(index, { addresses: [] }) });
    driver.advance(1000);
    assert.equal(stateOf(driver, HOME0), 'remembered lan0');
  });

  it('it is found elsewhere while RARP has it looked up: a contest, no plain move', () => {
    const driver = driverOf();
    remote(driver, OTHER);
    driver.advance(100);
    driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('rarp', TWO, OTHER) });
    driver.setAnswering(OTHER, ONE, LAN0, true);
    driver.setAnswering(OTHER, TWO, LAN1, true);
    answers(driver, LAN1, TWO, OTHER, GATEWAY);
    says(driver, LAN0, ONE, OTHER);
    driver.advance(1);
    assert.equal(stateOf(driver, OTHER), 'fresh lan0');
    driver.advance(100);
    assert.equal(stateOf(driver, OTHER), 'fresh lan0');
    assert.notEqual(driver.router.host(OTHER)?.contest.kind, 'none');
  });
});

describe('a withdrawal that waits for the 20 ms rule', () => {
  it('outlives the end of the claim as fresh', () => {
    const policy = testPolicy();
    const driver = driverOf(policy);
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    says(driver, LAN1, ONE, VISITOR);
    driver.advance(992);
    remote(driver, VISITOR);
    driver.advance(1);
    driver.setPolicy({ ...policy, deny: [{ ip: VISITOR, length: 32 }] });
    driver.advance(25);
    assert.equal(stateOf(driver, VISITOR), 'remembered lan1');
  });
});

describe('a prepared host', () => {
  it('is not claimed when its interface comes up, but with its first frame', () => {
    const driver = driverOf();
    driver.handle({ kind: 'link', link: link(LAN1, { carrier: false }) });
    const command = { name: 'prepare', ips: [VISITOR], mac: ONE, interface: 'lan1' } as const;
    driver.handle({ kind: 'command', token: 1, command });
    driver.handle({ kind: 'link', link: link(LAN1) });
    driver.advance(400);
    assert.equal(driver.claims(), 0, driver.trace.join('\n'));
    says(driver, LAN1, ONE, VISITOR);
    assert.equal(stateOf(driver, VISITOR), 'fresh lan1');
  });

  it('asked by an operator before it speaks, is not claimed either', () => {
    const driver = driverOf();
    const command = { name: 'prepare', ips: [VISITOR], mac: ONE, interface: 'lan1' } as const;
    driver.handle({ kind: 'command', token: 1, command });
    driver.handle({ kind: 'command', token: 2, command: { name: 'probe', ip: VISITOR } });
    assert.equal(driver.claims(), 0);
  });
});
