import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.js';
import type { Action, Link } from '../../src/mobility/events.js';
import { HostTracker } from '../../src/mobility/tracker.js';
import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../src/wire/addresses.js';
import { ARP_REQUEST, encodeArp } from '../../src/wire/arp.js';

const ip = (text: string) => parseIp(text) as Ipv4;
const HOST_MAC = 0x02000a010105 as Mac;

function link(index: number, name: string, addresses: readonly string[]): Link {
  return {
    index,
    name,
    mac: (0x020000000000 + index) as Mac,
    up: true,
    carrier: true,
    master: undefined,
    type: 'veth',
    addresses: addresses.map((text) => parsePrefix(text) as Prefix),
    rpFilter: 1,
  };
}

/** A router with two LANs, an uplink, and a default route. */
function router(subnets: string): HostTracker {
  const tracker = new HostTracker(parseConfig(`[[interface]]\nname = "lan*"\n${subnets}`).policy);
  const links = [
    link(1, 'lo', ['127.0.0.1/8']),
    link(2, 'wan', ['192.0.2.1/24']),
    link(10, 'lan0', ['10.1.1.1/24']),
    link(11, 'lan1', ['10.2.2.1/24']),
  ];
  for (const one of links) tracker.handle({ kind: 'link', link: one }, 0);
  for (const iface of [10, 11]) tracker.handle({ kind: 'capture', iface, open: true }, 0);
  const route = {
    prefix: { ip: 0 as Ipv4, length: 0 },
    table: 254,
    protocol: 3,
    metric: 0,
    type: 'unicast',
    iface: 2,
    via: ip('192.0.2.2') as Ip,
  } as const;
  tracker.handle({ kind: 'route', change: 'add', route, initial: true }, 0);
  return tracker;
}

/** Whether a host with this address on lan1 is answered when it asks for `target`. */
function isAnswered(tracker: HostTracker, asker: string, target: string): boolean {
  const bytes = encodeArp({
    destination: MAC_BROADCAST,
    source: HOST_MAC,
    opcode: ARP_REQUEST,
    senderMac: HOST_MAC,
    senderIp: ip(asker),
    targetMac: MAC_ZERO,
    targetIp: ip(target),
  });
  const actions: readonly Action[] = tracker.handle({ kind: 'frame', iface: 11, bytes }, 1000);
  return actions.some((action) => action.kind === 'send' && action.purpose === 'answer');
}

describe('addresses that no router may speak for (RFC 1122 section 3.2.1.3, RFC 3927 section 7)', () => {
  const never = [
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '169.254.7.7', '169.254.255.255', '224.0.0.251'],
    ...['239.255.255.250', '240.0.0.1', '255.255.255.255', '10.1.1.0', '10.1.1.255', '192.0.2.255'],
  ];
  const site = router('[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n');
  for (const target of never)
    it(`${target} is not answered, whatever the default route says`, () => {
      assert.ok(!isAnswered(site, '10.1.1.5', target));
    });
  it('its gateway, our other addresses and what the default route leads to are', () => {
    for (const target of ['10.1.1.1', '192.0.2.1', '198.51.100.7'])
      assert.ok(isAnswered(site, '10.1.1.5', target), target);
  });
});

describe('gateways of routed blocks', () => {
  for (const gateway of ['169.254.1.1', '198.51.100.1', '203.0.113.0', '192.0.2.1'])
    it(`${gateway} of 203.0.113.0/25 is answered`, () => {
      const block = gateway === '203.0.113.0' ? '203.0.113.0/31' : '203.0.113.0/25';
      const site = router(`[[subnet]]\nprefix = "${block}"\ngateway = "${gateway}"\n`);
      assert.ok(isAnswered(site, '203.0.113.1', gateway));
    });
  it('a link-local address is not, when another one is the gateway', () => {
    const site = router('[[subnet]]\nprefix = "203.0.113.0/24"\ngateway = "169.254.1.1"\n');
    assert.ok(!isAnswered(site, '203.0.113.5', '169.254.1.2'));
  });
  it('the first and the last address of the block are hosts', () => {
    const site = router('[[subnet]]\nprefix = "203.0.113.8/29"\ngateway = "192.0.2.1"\n');
    for (const host of ['203.0.113.8', '203.0.113.15']) {
      assert.ok(isAnswered(site, host, '192.0.2.1'));
      assert.equal(site.host(ip(host))?.state, 'proving');
    }
  });
});
