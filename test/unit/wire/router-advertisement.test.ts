import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatMac, formatPrefix, networkOf, type Ipv6 } from '../../../src/wire/addresses.js';
import { IPV6_PAYLOAD_AT } from '../../../src/wire/ipv6.js';
import { decodeNd } from '../../../src/wire/nd.js';
import { encodeRouterAdvertisement, onLinkPrefixes } from '../../../src/wire/router-advertisement.js';
import * as golden from './golden-ipv6.js';
import { FRAMES, damaged, ip, joined, mac, mended, unicasts } from './ipv6-kit.js';

const AT = IPV6_PAYLOAD_AT;
const OWN = mac('02:00:0a:01:01:01');
const PACKET = {
  source: OWN,
  destination: mac('02:00:0a:01:01:05'),
  sourceIp: ip('fe80::1'),
  destinationIp: ip('2001:db8:1::5'),
  linkLayerAddress: OWN,
};
const LIFETIMES = { isAutonomous: true, validSeconds: 86_400, preferredSeconds: 14_400 };
const text = (bytes: Uint8Array) => onLinkPrefixes(bytes).map(formatPrefix);

describe('router advertisements (RFC 4861 section 4.2)', () => {
  it('the option of a prefix is the one that BIRD writes', () => {
    const prefix = { ...LIFETIMES, network: ip('2001:db8:1::'), length: 64, isOnLink: true };
    const bytes = encodeRouterAdvertisement({ ...PACKET, routerSeconds: 12, prefixes: [prefix] });
    assert.deepEqual(bytes.subarray(AT + 24), golden.BIRD_ROUTER_ADVERTISEMENT.subarray(AT + 16));
    assert.deepEqual(
      bytes.subarray(AT + 6, AT + 16),
      golden.BIRD_ROUTER_ADVERTISEMENT.subarray(AT + 6, AT + 16),
    );
  });
  it('reads the prefix that BIRD says is on its link', () => {
    assert.deepEqual(text(golden.BIRD_ROUTER_ADVERTISEMENT), ['2001:db8:1::/64']);
  });
  it('what is encoded is a router advertisement with our MAC, and its prefixes on the link are read back', () => {
    const prefixes = fc.record({
      network: unicasts.map((address) => networkOf(address, 64) as Ipv6),
      length: fc.constantFrom(64, 80, 128),
      isOnLink: fc.boolean(),
      isAutonomous: fc.boolean(),
      validSeconds: fc.nat({ max: 0xffff_ffff }),
      preferredSeconds: fc.nat({ max: 0xffff_ffff }),
    });
    fc.assert(
      fc.property(fc.array(prefixes, { maxLength: 6 }), fc.nat({ max: 9000 }), (list, routerSeconds) => {
        const bytes = encodeRouterAdvertisement({ ...PACKET, routerSeconds, prefixes: list });
        const frame = decodeNd(bytes);
        assert.ok(typeof frame !== 'string');
        assert.equal(frame.type, 134);
        assert.equal(formatMac(frame.linkLayerAddress ?? frame.destination), formatMac(OWN));
        assert.equal(((bytes[AT + 6] as number) << 8) | (bytes[AT + 7] as number), routerSeconds);
        const onLink = list.filter(({ isOnLink }) => isOnLink);
        assert.deepEqual(
          onLinkPrefixes(bytes),
          onLink.map(({ network, length }) => ({ ip: network, length })),
        );
      }),
    );
  });
  it('other frames say nothing of prefixes, nor does one that is cut short or has an option of length 0', () => {
    for (const [name, bytes] of Object.entries(FRAMES))
      if (name !== 'BIRD_ROUTER_ADVERTISEMENT') assert.deepEqual(text(bytes), [], name);
    const bird = golden.BIRD_ROUTER_ADVERTISEMENT;
    for (let length = 0; length < bird.length; length++) assert.deepEqual(text(bird.subarray(0, length)), []);
    assert.deepEqual(text(mended(joined(bird, [14, 0, 0, 0, 0, 0, 0, 0]))), []);
    assert.deepEqual(text(mended(damaged(bird, 22, 0xfe, 0xc0))), [], 'from no link-local address');
    assert.deepEqual(text(mended(damaged(bird, AT + 18, 129))), [], 'a prefix of 129 bits');
  });
});
