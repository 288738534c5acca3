import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatMac } from '../../../src/wire/addresses.js';
import { ICMPV6, checksum } from '../../../src/wire/icmpv6.js';
import { IPV6_PAYLOAD_AT, decodeIpv6 } from '../../../src/wire/ipv6.js';
import {
  type NdFrame,
  decodeNd,
  encodeAdvertisement,
  encodeRouterSolicitation,
  encodeSolicitation,
} from '../../../src/wire/nd.js';
import { LINUX_REQUEST, QEMU_RARP } from './golden.js';
import * as golden from './golden-ipv6.js';
import { FRAMES, MALFORMED, damaged, ip, joined, linkLocals, macs, mended, unicasts } from './ipv6-kit.js';

const AT = IPV6_PAYLOAD_AT;

function decoded(bytes: Uint8Array): NdFrame {
  const frame = decodeNd(bytes);
  assert.ok(typeof frame !== 'string', `not decoded: ${String(frame)}`);
  return frame;
}

function text(bytes: Uint8Array): string {
  const frame = decoded(bytes);
  const mac = frame.linkLayerAddress;
  return [
    `${formatMac(frame.source)} > ${formatMac(frame.destination)}`,
    `${formatIp(frame.sourceIp)} > ${formatIp(frame.destinationIp)}`,
    'targetIp' in frame ? `${frame.type} ${formatIp(frame.targetIp)}` : `${frame.type}`,
    ...(mac === undefined ? [] : [formatMac(mac)]),
    ...('isRouter' in frame
      ? [`${frame.isRouter ? 'R' : '-'}${frame.isSolicited ? 'S' : '-'}${frame.isOverride ? 'O' : '-'}`]
      : []),
  ].join(', ');
}

/** Of the same frame, if all that it says is known to the codec. */
function encoded(frame: NdFrame): Uint8Array | undefined {
  switch (frame.type) {
    case ICMPV6.neighbourSolicitation:
      return encodeSolicitation(frame);
    case ICMPV6.neighbourAdvertisement:
      return encodeAdvertisement(frame);
    case ICMPV6.routerSolicitation:
      return encodeRouterSolicitation(frame);
    default:
      return undefined;
  }
}

describe('RFC 4861 frames of real stacks', () => {
  const host = '02:00:0a:01:01:05';
  const router = '02:00:0a:01:01:01';
  const expected: Readonly<Record<string, string>> = {
    LINUX_DAD: `${host} > 33:33:ff:00:00:05, :: > ff02::1:ff00:5, 135 2001:db8:1::5`,
    LINUX_SOLICITATION: `${host} > 33:33:ff:00:00:01, 2001:db8:1::5 > ff02::1:ff00:1, 135 2001:db8:1::1, ${host}`,
    LINUX_ROUTER_ANSWER: `${router} > ${host}, 2001:db8:1::1 > 2001:db8:1::5, 136 2001:db8:1::1, ${router}, RSO`,
    LINUX_UNREACHABILITY_SOLICITATION: `${router} > ${host}, fe80::1 > 2001:db8:1::5, 135 2001:db8:1::5, ${router}`,
    LINUX_UNREACHABILITY_ANSWER: `${host} > ${router}, 2001:db8:1::5 > fe80::1, 136 2001:db8:1::5, -S-`,
    LINUX_UNSOLICITED: `${host} > 33:33:00:00:00:01, 2001:db8:1::5 > ff02::1, 136 2001:db8:1::5, ${host}, --O`,
    LINUX_ROUTER_SOLICITATION: `${host} > 33:33:00:00:00:02, fe80::aff:fe01:105 > ff02::2, 133, ${host}`,
    BIRD_ROUTER_ADVERTISEMENT: `${router} > 33:33:00:00:00:01, fe80::1 > ff02::1, 134`,
  };
  for (const [name, line] of Object.entries(expected)) {
    const bytes = FRAMES[name] as Uint8Array;
    it(`decodes ${name} as tcpdump does`, () => assert.equal(text(bytes), line));
    it(`refuses every truncation of ${name}`, () => {
      for (let length = 0; length < bytes.length; length++)
        assert.equal(decodeNd(bytes.subarray(0, length)), 'truncated', `${length} bytes`);
    });
    it(`refuses ${name} with any one bit changed behind the headers: the checksum covers it`, () => {
      for (let at = AT + 2; at < bytes.length; at++)
        for (let bit = 1; bit < 256; bit <<= 1)
          assert.equal(decodeNd(damaged(bytes, at, (bytes[at] as number) ^ bit)), 'bad-checksum');
    });
    if (name === 'LINUX_DAD' || name === 'BIRD_ROUTER_ADVERTISEMENT') continue; // options and a flow label
    it(`encodes ${name} back to its bytes`, () => assert.deepEqual(encoded(decoded(bytes)), bytes));
  }

  it('the rest of what was sniffed is no Neighbor Discovery', () => {
    const others = Object.entries(FRAMES).filter(([name]) => expected[name] === undefined);
    for (const [name, bytes] of [...others, ['ARP', LINUX_REQUEST], ['RARP', QEMU_RARP]] as const)
      assert.equal(decodeNd(bytes), 'not-neighbour-discovery', name);
  });

  it('the checksum of every ICMPv6 message that was sniffed is right (RFC 4443 section 2.3)', () => {
    for (const [name, bytes] of Object.entries(FRAMES))
      assert.equal(checksum(bytes, bytes[20] === 0 ? AT + 8 : AT, bytes.length), 0, name);
  });

  it('reads a frame that lies in the middle of a larger buffer, and ignores what follows the packet', () => {
    const buffer = new Uint8Array(300).fill(0xaa);
    buffer.set(golden.LINUX_SOLICITATION, 77);
    assert.equal(text(buffer.subarray(77)), expected.LINUX_SOLICITATION);
  });

  it('a packet names its addresses (RFC 8200 section 3)', () => {
    const packet = decodeIpv6(golden.LINUX_ECHO_REQUEST);
    assert.ok(typeof packet !== 'string');
    assert.equal(
      `${formatMac(packet.source)} ${formatIp(packet.sourceIp)} > ${formatMac(packet.destination)} ${formatIp(packet.destinationIp)}`,
      `${host} 2001:db8:1::5 > ${router} 2001:db8:1::1`,
    );
    assert.equal(decodeIpv6(LINUX_REQUEST), 'not-ipv6');
    assert.equal(decodeIpv6(damaged(golden.LINUX_ECHO_REQUEST, 14, 0x45)), 'not-ipv6');
    for (let length = 0; length < AT; length++)
      assert.equal(decodeIpv6(golden.LINUX_ECHO_REQUEST.subarray(0, length)), 'truncated');
  });
});

describe('validation (RFC 4861 sections 6.1 and 7.1)', () => {
  const solicitation = golden.LINUX_SOLICITATION;
  const advertisement = golden.LINUX_ROUTER_ANSWER;
  const all = [
    solicitation,
    advertisement,
    golden.LINUX_ROUTER_SOLICITATION,
    golden.BIRD_ROUTER_ADVERTISEMENT,
  ];

  it('the hop limit is 255: nothing that a router has forwarded', () => {
    for (const frame of all)
      for (const hopLimit of [0, 1, 64, 254])
        assert.equal(decodeNd(damaged(frame, 21, hopLimit)), 'bad-hop-limit');
  });
  it('the code is 0', () => {
    for (const frame of all) assert.equal(decodeNd(mended(damaged(frame, AT + 1, 1))), 'bad-code');
  });
  it('the length is 24 or more octets (RS: 8, RA: 16)', () => {
    for (const [i, shortest] of [24, 24, 8, 16].entries()) {
      const frame = all[i] as Uint8Array;
      for (let length = 4; length < shortest; length++)
        assert.equal(decodeNd(mended(frame.subarray(0, AT + length))), 'bad-length', `${length} bytes`);
      assert.equal(typeof decodeNd(mended(frame.subarray(0, AT + shortest))), 'object');
      for (const length of [0, 3]) assert.equal(decodeNd(damaged(frame, 18, 0, length)), 'bad-length');
    }
  });
  it('no option has the length 0, and all of them are whole', () => {
    for (const [i, options] of [24, 24, 8, 16].entries()) {
      const frame = (all[i] as Uint8Array).subarray(0, AT + options);
      const withOption = (...option: number[]) => decodeNd(mended(joined(frame, option)));
      assert.equal(withOption(14, 0, 0, 0, 0, 0, 0, 0), 'bad-option');
      assert.equal(withOption(14, 2, 0, 0, 0, 0, 0, 0), 'bad-option');
      assert.equal(withOption(14), 'bad-option');
      assert.equal(withOption(14, 1, 0, 0, 0, 0, 0), 'bad-option');
      assert.equal(typeof withOption(14, 1, 0, 0, 0, 0, 0, 0), 'object', 'an unknown one is ignored');
    }
  });
  it('a link-layer address of another length is none of Ethernet (RFC 2464 section 6); of two, the first counts', () => {
    const frame = solicitation.subarray(0, AT + 24);
    const long = [1, 2, ...new Array<number>(14).fill(7)];
    assert.equal(decodeNd(mended(joined(frame, long))), 'bad-option');
    const two = joined(frame, [1, 1, 2, 0, 0, 0, 0, 1], [1, 1, 2, 0, 0, 0, 0, 2]);
    assert.equal(formatMac(decoded(mended(two)).linkLayerAddress ?? (0 as never)), '02:00:00:00:00:01');
    const targetOption = joined(frame, [2, 1, 2, 0, 0, 0, 0, 1]);
    assert.equal(decoded(mended(targetOption)).linkLayerAddress, undefined, 'of an advertisement');
  });
  it('the target is no multicast address, and the source is none', () => {
    for (const frame of [solicitation, advertisement])
      assert.equal(decodeNd(mended(damaged(frame, AT + 8, 0xff))), 'bad-address');
    for (const frame of all) assert.equal(decodeNd(mended(damaged(frame, 22, 0xff))), 'bad-address');
  });
  it('the source :: asks the solicited-node group alone, and states no link-layer address', () => {
    const toOne = damaged(golden.LINUX_DAD, 38, ...solicitation.subarray(22, 38));
    assert.equal(decodeNd(mended(toOne)), 'bad-address');
    assert.equal(decodeNd(mended(damaged(golden.LINUX_DAD, AT + 24, 1))), 'bad-option');
    const nobody = new Array<number>(16).fill(0);
    assert.equal(decodeNd(mended(damaged(golden.LINUX_ROUTER_SOLICITATION, 22, ...nobody))), 'bad-option');
    assert.equal(decodeNd(mended(damaged(advertisement, 22, ...nobody))), 'bad-address');
  });
  it('a solicited advertisement goes to who has asked, and not to a group', () => {
    assert.equal(decodeNd(mended(damaged(golden.LINUX_UNSOLICITED, AT + 4, 0x60))), 'bad-address');
  });
  it('a router advertisement comes from a link-local address', () => {
    const global = solicitation.subarray(22, 38);
    assert.equal(decodeNd(mended(damaged(golden.BIRD_ROUTER_ADVERTISEMENT, 22, ...global))), 'bad-address');
  });
  it('RFC 6980: not behind an extension header, and not in a fragment', () => {
    const headers: readonly (readonly [number, readonly number[]])[] = [
      [0, [58, 0, 1, 4, 0, 0, 0, 0]],
      [0, [58, 0, 5, 2, 0, 0, 1, 0]], // with the option Router Alert of MLD
      [43, [58, 0, 0, 0, 0, 0, 0, 0]],
      [44, [58, 0, 0, 0, 0, 0, 0, 1]],
      [60, [58, 0, 1, 4, 0, 0, 0, 0]],
      [60, [44, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 1]],
    ];
    for (const [next, header] of headers) {
      const bytes = joined(solicitation.subarray(0, AT), header, solicitation.subarray(AT));
      assert.equal(decodeNd(mended(damaged(bytes, 20, next), AT + header.length)), 'extension-header');
    }
  });
  it('other types, headers, versions and EtherTypes are not Neighbor Discovery', () => {
    for (const type of [0, 1, 128, 129, 130, 132, 137, 138, 255])
      assert.equal(decodeNd(mended(damaged(solicitation, AT, type))), 'not-neighbour-discovery');
    for (const next of [6, 17, 50, 59, 89])
      assert.equal(decodeNd(damaged(solicitation, 20, next)), 'not-neighbour-discovery');
    assert.equal(decodeNd(damaged(solicitation, 14, 0x40)), 'not-neighbour-discovery');
    assert.equal(decodeNd(damaged(solicitation, 12, 0x08, 0x00)), 'not-neighbour-discovery');
  });
});

describe('properties of the codec', () => {
  const option = fc.option(macs, { nil: undefined });
  const packet = { source: macs, destination: macs, sourceIp: unicasts, destinationIp: unicasts };
  const config = { noNullPrototype: true } as const;

  it('RFC 4861 sections 4.1, 4.3, 4.4: decode(encode(frame)) is the frame', () => {
    const boolean = fc.boolean();
    const frames: fc.Arbitrary<NdFrame> = fc.oneof(
      fc.record(
        {
          ...packet,
          type: fc.constant(ICMPV6.neighbourSolicitation),
          targetIp: unicasts,
          linkLayerAddress: option,
        },
        config,
      ),
      fc.record(
        {
          ...packet,
          type: fc.constant(ICMPV6.neighbourAdvertisement),
          targetIp: unicasts,
          linkLayerAddress: option,
          isRouter: boolean,
          isSolicited: boolean,
          isOverride: boolean,
        },
        config,
      ),
      fc.record(
        {
          ...packet,
          sourceIp: linkLocals,
          type: fc.constant(ICMPV6.routerSolicitation),
          linkLayerAddress: option,
        },
        config,
      ),
    );
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = encoded(frame);
        assert.ok(bytes !== undefined);
        assert.deepEqual(decodeNd(bytes), frame);
      }),
    );
  });

  it('random bytes give a value or a named reason and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 160 }), (bytes) => {
        const frame = decodeNd(bytes);
        assert.ok(typeof frame === 'object' || MALFORMED.has(frame));
      }),
      { numRuns: 2000 },
    );
  });

  it('damaged frames whose checksum is right give a value or a named reason, and are not changed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(FRAMES)),
        fc.array(fc.tuple(fc.nat({ max: 117 }), fc.nat({ max: 255 })), { maxLength: 3 }),
        (good, changes) => {
          const bytes = good.slice();
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const whole = mended(bytes, bytes[20] === 0 ? AT + 8 : AT);
          const before = whole.slice();
          const frame = decodeNd(whole);
          assert.ok(typeof frame === 'object' || MALFORMED.has(frame));
          assert.deepEqual(whole, before);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('the checksum of what is encoded is the one that a slow and plain sum gives (RFC 1071)', () => {
    fc.assert(
      fc.property(unicasts, unicasts, fc.uint8Array({ minLength: 4, maxLength: 99 }), (from, to, message) => {
        const bytes = mended(joined(golden.LINUX_SOLICITATION.subarray(0, AT), message));
        for (let i = 0; i < 16; i++) {
          bytes[22 + i] = from.charCodeAt(i);
          bytes[38 + i] = to.charCodeAt(i);
        }
        const words = [
          ...bytes.subarray(22, 54),
          0,
          0,
          0,
          message.length,
          0,
          0,
          0,
          58,
          ...bytes.subarray(AT),
          0,
        ];
        let sum = 0n;
        for (let i = 0; i + 1 < words.length; i += 2)
          sum += BigInt((words[i] as number) * 256 + (words[i + 1] as number));
        while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
        assert.equal(checksum(bytes, AT, bytes.length), Number(sum ^ 0xffffn));
      }),
    );
  });

  it('an address is read as it is written', () => {
    const frame = decoded(golden.LINUX_DAD);
    assert.equal(frame.sourceIp, ip('::'));
  });
});
