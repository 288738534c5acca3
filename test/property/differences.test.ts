import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, Transition } from '../../src/mobility/events.js';
import { type Ip, type Ipv4, type Mac, type Prefix, parsePrefix } from '../../src/wire/addresses.js';
import { decodeArp } from '../../src/wire/arp.js';
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
} from './driver.js';

/** Where the tracker's decisions differ from those of the first edition, on purpose. */

const [HOME0, , , , VISITOR] = IPS as unknown as readonly [(typeof IPS)[0], 1, 2, 3, (typeof IPS)[0]];
const [ONE] = MACS as unknown as readonly [Mac];

function transitionsOf(actions: readonly Action[]): Transition[] {
  return actions.filter((action) => action.kind === 'transition');
}

function probesOf(actions: readonly Action[], target: Ip): number {
  return actions.filter(
    (action) =>
      action.kind === 'send' &&
      action.purpose === 'probe' &&
      (decodeArp(action.bytes) as { targetIp: Ip }).targetIp === target,
  ).length;
}

/** A host at home on LAN0 that answers and says nothing by itself, recorded a minute ago. */
function quietAtHome(): Driver {
  const driver = new Driver(testPolicy());
  driver.boot();
  driver.setAnswering(HOME0, ONE, LAN0, true);
  driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('request', ONE, HOME0) });
  driver.advance(60_000);
  assert.equal(driver.router.host(HOME0)?.state, 'home');
  return driver;
}

function assertAskedAndKept(driver: Driver, actions: readonly Action[]): void {
  assert.deepEqual(
    transitionsOf(actions).map(({ from, to, cause }) => [from, to, cause]),
    [['home', 'proving', 'rule-changed']],
  );
  assert.equal(probesOf(actions, HOME0), 1, 'asked at once');
  driver.advance(60_000);
  assert.equal(driver.router.host(HOME0)?.state, 'settled', driver.trace.join('\n'));
}

describe('decisions that differ from the first edition', () => {
  it('a quiet home host that a reload makes claimable is asked at once and stays', () => {
    const driver = quietAtHome();
    assertAskedAndKept(driver, driver.setPolicy(testPolicy({ learn: 'all' })));
  });

  it('a quiet home host whose interface loses the subnet is asked at once and stays', () => {
    const driver = quietAtHome();
    const addresses = [parsePrefix('10.3.3.1/24') as Prefix];
    assertAskedAndKept(driver, driver.handle({ kind: 'link', link: link(LAN0, { addresses }) }));
  });

  it('a home host that is gone is withdrawn only after it was asked', () => {
    const driver = quietAtHome();
    driver.setAnswering(HOME0, ONE, LAN0, false);
    const actions = driver.setPolicy(testPolicy({ learn: 'all' }));
    assert.equal(probesOf(actions, HOME0), 1);
    driver.advance(2000);
    assert.equal(driver.router.host(HOME0)?.cause, 'no-answer');
  });

  it('the record of a claim that is retried fresh names when it really ends', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', ONE, VISITOR) });
    driver.handle({ kind: 'route', change: 'add', route: hostRoute(VISITOR), initial: false });
    const retried: Transition[] = [];
    while (retried.length === 0) {
      driver.now = driver.router.nextDeadline() ?? assert.fail('nothing is due');
      const actions = driver.handle({ kind: 'tick' });
      const all = [...actions];
      driver.advance(1);
      retried.push(...transitionsOf(all).filter(({ cause, to }) => cause === 'contested' && to === 'fresh'));
      const host = driver.router.host(VISITOR);
      if (retried.length === 0 && host?.cause === 'contested')
        retried.push({ ...host, deadline: host.endsAt, at: host.since } as unknown as Transition);
      assert.ok(driver.now < 60_000, driver.trace.join('\n'));
    }
    const [{ deadline, at }] = retried as [Transition];
    assert.ok(deadline !== undefined && deadline - at <= 150, `fresh for ${(deadline ?? 0) - at} ms`);
  });
});

it('a MAC or an address that no host can have is taken up by nobody, from the kernel or from hosts.json', () => {
  const cases: readonly (readonly [Ip, number])[] = [
    [VISITOR, 0xffff_ffff_ffff],
    [VISITOR, 0],
    [VISITOR, OUR_MAC[LAN0] as number],
    [GATEWAY, 0x02_0000_000001],
    [0x0a0101ff as Ipv4, 0x02_0000_000001],
    [0xe0000005 as Ipv4, 0x02_0000_000001],
  ];
  for (const [ip, mac] of cases) {
    const driver = new Driver(testPolicy());
    driver.boot();
    driver.handle({ kind: 'adopt', ip, iface: LAN1, mac: mac as Mac, age: 'fresh' });
    driver.handle({
      kind: 'remember',
      memories: [{ ip, mac: mac as Mac, interface: 'lan1', reason: 'lost' }],
    });
    assert.equal(driver.router.host(ip), undefined, `${ip} ${mac}`);
  }
});
