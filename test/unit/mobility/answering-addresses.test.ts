import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import { HOST_MAC, LAN0, LAN1, ip, link, macOf, makeRouter, reply, request } from './small-router.js';

let now = 1000;

/** Whether a host with this address on lan1 is answered when it asks for `target`, at the latest after 50 ms. */
function isAnswered(tracker: HostTracker, asker: string, target: string): boolean {
  const actions = request(tracker, LAN1, asker, target, HOST_MAC, now);
  now += 50;
  return [...actions, ...tracker.handle({ kind: 'tick' }, now)].some(
    (action) => action.kind === 'send' && action.purpose === 'answer',
  );
}

describe('addresses that no router may speak for (RFC 1122 section 3.2.1.3, RFC 3927 section 7)', () => {
  const never = [
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '169.254.7.7', '169.254.255.255', '224.0.0.251'],
    ...['239.255.255.250', '240.0.0.1', '255.255.255.255', '10.1.1.0', '10.1.1.255', '192.0.2.255'],
  ];
  const site = makeRouter('[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n');
  for (const target of never)
    it(`${target} is not answered, whatever the default route says`, () => {
      assert.ok(!isAnswered(site, '10.1.1.5', target));
    });
  it('its gateway, our other addresses and what the default route leads to are', () => {
    for (const target of ['10.1.1.1', '192.0.2.1']) assert.ok(isAnswered(site, '10.1.1.5', target), target);
    assert.ok(!isAnswered(site, '10.1.1.5', '198.51.100.7'), 'the LAN is asked first');
    const deadline = site.nextDeadline() ?? Number.NaN;
    const later = [deadline, 1100].flatMap((at) => [...site.handle({ kind: 'tick' }, at)]);
    assert.ok(later.some((action) => action.kind === 'send' && action.purpose === 'answer'));
  });
});

describe('gateways of routed blocks', () => {
  for (const gateway of ['169.254.1.1', '198.51.100.1', '203.0.113.0', '192.0.2.1'])
    it(`${gateway} of 203.0.113.0/25 is answered`, () => {
      const block = gateway === '203.0.113.0' ? '203.0.113.0/31' : '203.0.113.0/25';
      const site = makeRouter(`[[subnet]]\nprefix = "${block}"\ngateway = "${gateway}"\n`);
      assert.ok(isAnswered(site, '203.0.113.1', gateway));
    });
  it('a link-local address is not, when another one is the gateway', () => {
    const site = makeRouter('[[subnet]]\nprefix = "203.0.113.0/24"\ngateway = "169.254.1.1"\n');
    assert.ok(!isAnswered(site, '203.0.113.5', '169.254.1.2'));
  });
  it('the first and the last address of the block are hosts', () => {
    const site = makeRouter('[[subnet]]\nprefix = "203.0.113.8/29"\ngateway = "192.0.2.1"\n');
    for (const host of ['203.0.113.8', '203.0.113.15']) {
      assert.ok(isAnswered(site, host, '192.0.2.1'));
      assert.equal(site.host(ip(host))?.state, 'proving');
    }
  });
});

describe('own frames', () => {
  const reasonsOf = (actions: ReturnType<typeof request>) =>
    actions.flatMap((action) => (action.kind === 'drop' ? [action.reason] : []));

  it('a guest on macvtap is a host, although a link of this machine has its MAC', () => {
    const site = makeRouter('[policy]\nallow = ["10.9.9.0/24"]\n');
    const tap = link(30, 'macvtap0', [], { type: 'macvtap' });
    site.handle({ kind: 'link', link: tap }, 0);
    assert.deepEqual(reasonsOf(request(site, LAN1, '10.9.9.5', '10.2.2.1', tap.mac)), []);
    assert.equal(site.host(ip('10.9.9.5'))?.state, 'proving');
  });

  it('frames with the MAC of the interface itself, or of a port of it, are ours', () => {
    const site = makeRouter('[policy]\nallow = ["10.9.9.0/24"]\n');
    site.handle({ kind: 'link', link: link(31, 'tap7', [], { master: LAN1 }) }, 0);
    for (const mac of [macOf(LAN1), macOf(31)])
      assert.deepEqual(reasonsOf(request(site, LAN1, '10.9.9.5', '10.2.2.1', mac)), ['own-frame']);
  });

  it('two mobility interfaces on one wire: what one asks in the name of a gateway is our own frame', () => {
    const site = makeRouter('[[subnet]]\nprefix = "10.9.9.0/24"\ngateway = "10.9.9.1"\n');
    const actions = request(site, LAN1, '10.9.9.1', '10.9.9.5', macOf(LAN0));
    assert.deepEqual(reasonsOf(actions), ['own-frame']);
    assert.ok(!actions.some((action) => action.kind === 'send'), 'and asks nobody');
  });

  it('attach refuses a MAC of the interface that is named, and takes that of a macvtap guest', () => {
    const site = makeRouter('[policy]\nallow = ["10.9.9.0/24"]\n');
    const tap = link(30, 'macvtap0', [], { type: 'macvtap' });
    site.handle({ kind: 'link', link: tap }, 0);
    const attach = (mac = tap.mac) => {
      const command = { name: 'attach', mac, ips: [ip('10.9.9.5')], interface: 'lan1' } as const;
      return site.handle({ kind: 'command', token: 1, command }, 1000);
    };
    assert.ok(attach(macOf(LAN1)).some((action) => action.kind === 'reply' && !action.ok));
    assert.ok(attach().some((action) => action.kind === 'reply' && action.ok));
  });
});

describe('answers in odd forms (RFC 826 looks at the sender pair only)', () => {
  for (const target of ['0.0.0.0', '10.9.9.5', '10.2.2.1'])
    it(`a reply to ${target} proves a host that was asked in the name of 10.2.2.1`, () => {
      const site = makeRouter('[policy]\nallow = ["10.9.9.0/24"]\n');
      request(site, LAN1, '10.9.9.5', '192.0.2.9');
      assert.equal(site.host(ip('10.9.9.5'))?.state, 'proving');
      reply(site, LAN1, '10.9.9.5', target);
      assert.equal(site.host(ip('10.9.9.5'))?.state, 'fresh');
    });
  it('a reply to somebody else proves nothing, nor does one that nobody asked for', () => {
    const site = makeRouter('[policy]\nallow = ["10.9.9.0/24"]\n');
    reply(site, LAN1, '10.9.9.6', '0.0.0.0');
    assert.equal(site.host(ip('10.9.9.6'))?.state, 'proving');
    request(site, LAN1, '10.9.9.5', '192.0.2.9');
    reply(site, LAN1, '10.9.9.5', '10.9.9.7');
    assert.equal(site.host(ip('10.9.9.5'))?.state, 'proving');
  });
});
