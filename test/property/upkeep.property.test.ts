import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ip, type Ipv4, type Mac, parsePrefix, type Prefix } from '../../src/wire/addresses.js';
import { ARP_REQUEST, decodeArp } from '../../src/wire/arp.js';
import type { Action } from '../../src/mobility/events.js';
import type { Policy } from '../../src/mobility/policy.js';
import { Driver, frameOf, IPS, LAN0, link, MACS, testPolicy } from './driver.js';

const VISITORS = [IPS[4], IPS[5]] as Ipv4[];
const PORT = 20;
const NEW_MAC = 0x0200fe00aaaa as Mac;

function settledVisitors(): { readonly driver: Driver; readonly sent: Action[] } {
  const driver = new Driver(testPolicy());
  const sent: Action[] = [];
  const handle = driver.router.handle.bind(driver.router);
  driver.router.handle = (event, now) => {
    const actions = handle(event, now);
    sent.push(...actions);
    return actions;
  };
  driver.boot();
  for (const [i, ip] of VISITORS.entries()) {
    const mac = MACS[i] as Mac;
    driver.setAnswering(ip, mac, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, ip) });
  }
  driver.advance(3000);
  assert.equal(driver.claims(), 2);
  sent.length = 0;
  return { driver, sent };
}

/** Who was asked, and by which MAC. */
function questions(actions: readonly Action[]): { readonly ip: Ip; readonly from: Mac }[] {
  return actions.flatMap((action) => {
    const arp = action.kind === 'send' ? decodeArp(action.bytes) : 'no frame';
    return typeof arp === 'string' || arp.opcode !== ARP_REQUEST
      ? []
      : [{ ip: arp.targetIp, from: arp.senderMac }];
  });
}

describe('what others change is put right at once', () => {
  it('our own MAC changes: every visitor is asked from the new one, which repairs its gateway entry (RFC 826)', () => {
    const { driver, sent } = settledVisitors();
    driver.handle({ kind: 'link', link: link(LAN0, { mac: NEW_MAC }) });
    driver.advance(50);
    assert.deepEqual(
      questions(sent),
      VISITORS.map((ip) => ({ ip, from: NEW_MAC })),
    );
    assert.equal(driver.claims(), 2);
  });

  it('a reload forbids hosts, another one allows them again: they are asked and routed without a word of theirs', () => {
    const { driver } = settledVisitors();
    const reload = (policy: Policy) => {
      const reading = { kind: 'tick' } as const; // the invariants know no reload, only what it does
      driver.invariants.before(reading, driver.now);
      const actions = driver.router.setPolicy(policy, driver.now);
      driver.invariants.after(reading, actions, driver.router.nextDeadline(), driver.now);
      driver.advance(5000);
    };
    const good = driver.policy;
    reload({ ...good, deny: [parsePrefix('10.9.9.0/24') as Prefix] });
    assert.equal(driver.claims(), 0);
    reload(good);
    assert.equal(driver.claims(), 2);
  });

  it('a port of a bridge goes down: the hosts behind it are withdrawn at once, also when the bridge forgot their MACs', () => {
    const { driver } = settledVisitors();
    const port = (carrier: boolean) =>
      driver.handle({
        kind: 'link',
        link: { ...link(LAN0), index: PORT, name: 'tap0', addresses: [], master: LAN0, carrier },
      });
    port(true);
    driver.handle({ kind: 'fdb', bridge: LAN0, mac: MACS[0] as Mac, port: PORT });
    driver.handle({ kind: 'fdb', bridge: LAN0, mac: MACS[0] as Mac, port: undefined });
    // More MACs than are kept of unknown machines.
    for (let i = 0; i < 40_000; i++)
      driver.handle({ kind: 'fdb', bridge: LAN0, mac: (0x060000000000 + i) as Mac, port: PORT });
    assert.equal(driver.claims(), 2);
    port(false);
    assert.equal(driver.claims(), 1);
  });
});
