import assert from 'node:assert/strict';
import { isIP, isIPv4 as nodeIsIpv4 } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Address6 } from 'ip-address';
import {
  contains,
  formatIp,
  formatMac,
  formatPrefix,
  hostLength,
  type Ip,
  type Ipv4,
  type Ipv6,
  isGroupMac,
  isIpv4,
  isLoopback,
  isMulticast,
  isLinkLocal,
  isReserved,
  isSubnetEdge,
  isSubnetRouterAnycast,
  isUnspecified,
  groupMac,
  isIpv4Mapped,
  isSolicitedNodeGroup,
  low24,
  readIpv6,
  solicitedNodeGroup,
  withEui64,
  withLow24,
  writeIpv6,
  type Mac,
  networkOf,
  parseIp,
  parseMac,
  parsePrefix,
  readIpv4,
  readMac,
  writeIpv4,
  writeMac,
} from '../../../src/wire/addresses.js';

const ipv4 = fc.integer({ min: 0, max: 2 ** 32 - 1 }) as fc.Arbitrary<Ipv4>;
/** Many zero groups, so that RFC 5952's compression rule is met in every form. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.constant(1), fc.nat({ max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => String.fromCharCode(...groups.flatMap((group) => [group >>> 8, group & 255])) as Ipv6);
const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 }) as fc.Arbitrary<Mac>;
const anyIp: fc.Arbitrary<Ip> = fc.oneof(ipv4, ipv6);

function ip(text: string): Ip {
  const parsed = parseIp(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

function bits(address: Ip): bigint {
  if (isIpv4(address)) return BigInt(address);
  let value = 0n;
  for (let i = 0; i < 16; i++) value = (value << 8n) | BigInt(address.charCodeAt(i));
  return value;
}

describe('IPv4 text', () => {
  it('round trip, and node:net agrees that it is IPv4', () => {
    fc.assert(
      fc.property(ipv4, (address) => {
        const text = formatIp(address);
        assert.ok(nodeIsIpv4(text));
        assert.equal(parseIp(text), address);
      }),
    );
  });
  it('accepts exactly what node:net accepts, for texts that look like addresses', () => {
    const part = fc.oneof(
      fc.nat({ max: 300 }).map(String),
      fc.constantFrom('', '0', '00', '01', '255', '256', '1e1', '0x1', ' 1', '-1', '١'),
    );
    const looksLike = fc.oneof(
      fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.')),
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(looksLike, (text) => {
        if (text.includes(':')) return;
        assert.equal(parseIp(text) !== undefined, isIP(text) === 4, text);
      }),
      { numRuns: 3000 },
    );
  });
  it('the highest address stays unsigned', () => {
    assert.equal(ip('255.255.255.255'), 0xffff_ffff);
    assert.equal(formatIp(ip('255.255.255.255')), '255.255.255.255');
  });
  it('bytes round trip', () => {
    fc.assert(
      fc.property(ipv4, (address) => {
        const bytes = new Uint8Array(6);
        writeIpv4(bytes, 1, address);
        assert.equal(readIpv4(bytes, 1), address);
        assert.equal(bytes[0], 0);
        assert.equal(bytes[5], 0);
      }),
    );
  });
});

describe('IPv6 text', () => {
  it('RFC 5952: canonical form agrees with ip-address, and parses back', () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        const text = formatIp(address);
        assert.equal(isIP(text), 6, text);
        assert.equal(text, new Address6(text).correctForm());
        assert.equal(parseIp(text), address);
      }),
      { numRuns: 2000 },
    );
  });
  it('every spelling of ip-address parses to the same address', () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        const other = new Address6(formatIp(address));
        assert.equal(parseIp(other.canonicalForm()), address);
        assert.equal(parseIp(other.canonicalForm().toUpperCase()), address);
      }),
    );
  });
  it('RFC 5952 section 4: chosen examples', () => {
    for (const [spelling, canonical] of [
      ['::', '::'],
      ['::1', '::1'],
      ['1::', '1::'],
      ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'], // 4.2.3: the first of two equal runs
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], // 4.2.2: one zero group is not shortened
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], // 4.2.3: the longest run
      ['FE80::ABCD', 'fe80::abcd'], // 4.3: lower case
      ['::ffff:10.1.1.5', '::ffff:a01:105'],
      ['1:2:3:4:5:6:10.1.1.5', '1:2:3:4:5:6:a01:105'],
      ['1:2:3:4:5::10.1.1.5', '1:2:3:4:5:0:a01:105'],
    ] as const) {
      assert.equal(formatIp(ip(spelling)), canonical, spelling);
    }
  });
  it('refuses what node:net refuses (zones apart)', () => {
    const group = fc.oneof(
      fc.nat({ max: 0xfffff }).map((n) => n.toString(16)),
      fc.constantFrom('', '', '0', '00000', 'g', '10.1.1.5', '1.2.3', ' 1'),
    );
    const looksLike = fc.array(group, { minLength: 1, maxLength: 10 }).map((groups) => groups.join(':'));
    fc.assert(
      fc.property(looksLike, (text) => {
        if (!text.includes(':')) return;
        assert.equal(parseIp(text) !== undefined, isIP(text) === 6, text);
      }),
      { numRuns: 5000 },
    );
    for (const text of [
      ':',
      ':::',
      '1:',
      ':1',
      '1::2::3',
      '1:2:3:4:5:6:7:8:9',
      '::1%eth0',
      '1:2:3:4:5:6:7:10.1.1.5',
    ]) {
      assert.equal(parseIp(text), undefined, text);
    }
  });
});

describe('prefixes', () => {
  const prefix = anyIp.chain((address) =>
    fc.nat({ max: hostLength(address) }).map((length) => ({ ip: address, length })),
  );
  it('RFC 4632 section 3.1: networkOf keeps the first bits and clears the others', () => {
    fc.assert(
      fc.property(prefix, ({ ip: address, length }) => {
        const width = BigInt(hostLength(address) - length);
        assert.equal(bits(networkOf(address, length)), (bits(address) >> width) << width);
      }),
      { numRuns: 2000 },
    );
  });
  it('contains agrees with the numbers, also for addresses that share many bits', () => {
    const near = prefix.chain((one) =>
      fc.tuple(
        fc.constant(one),
        fc.oneof(
          anyIp,
          fc.nat({ max: hostLength(one.ip) - 1 }).map((bit): Ip => {
            if (isIpv4(one.ip)) return ((one.ip ^ (1 << bit)) >>> 0) as Ipv4;
            const at = bit >>> 3;
            const flipped = one.ip.charCodeAt(at) ^ (1 << (bit & 7));
            return (one.ip.slice(0, at) + String.fromCharCode(flipped) + one.ip.slice(at + 1)) as Ipv6;
          }),
        ),
      ),
    );
    fc.assert(
      fc.property(near, ([one, address]) => {
        const width = BigInt(hostLength(one.ip) - one.length);
        const same = isIpv4(one.ip) === isIpv4(address) && bits(address) >> width === bits(one.ip) >> width;
        assert.equal(contains(one, address), same);
      }),
      { numRuns: 3000 },
    );
  });
  it('text round trip, host bits kept; an address alone is a host prefix', () => {
    fc.assert(
      fc.property(prefix, (one) => {
        assert.deepEqual(parsePrefix(formatPrefix(one)), one);
        assert.deepEqual(parsePrefix(formatIp(one.ip)), { ip: one.ip, length: hostLength(one.ip) });
      }),
    );
  });
  it('refuses bad prefixes', () => {
    for (const text of [
      '',
      '/',
      '10.0.0.0/',
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.0.0.0/1e1',
      '10.0.0.0/ 8',
      '::/129',
      '10.0.0/8',
    ]) {
      assert.equal(parsePrefix(text), undefined, text);
    }
  });
  it('RFC 1122 section 3.2.1.3: network and broadcast address are edges; RFC 3021: none in /31 and /32', () => {
    const lan = { ip: ip('10.1.1.7'), length: 24 };
    assert.ok(isSubnetEdge(lan, ip('10.1.1.0')));
    assert.ok(isSubnetEdge(lan, ip('10.1.1.255')));
    assert.ok(!isSubnetEdge(lan, ip('10.1.1.1')));
    assert.ok(!isSubnetEdge(lan, ip('10.1.2.255')));
    assert.ok(!isSubnetEdge({ ip: ip('10.1.1.0'), length: 31 }, ip('10.1.1.0')));
    assert.ok(!isSubnetEdge({ ip: ip('10.1.1.0'), length: 32 }, ip('10.1.1.0')));
    const any = { ip: 0 as Ipv4, length: 0 };
    assert.ok(isSubnetEdge(any, ip('255.255.255.255')));
    assert.ok(isSubnetEdge(any, ip('0.0.0.0')));
    assert.ok(!isSubnetEdge(any, ip('128.0.0.1')));
  });
  it('RFC 4291 section 2.6.1, RFC 6164: the subnet-router anycast address is the edge of an IPv6 subnet', () => {
    const lan = { ip: ip('fd00::7'), length: 64 };
    assert.ok(isSubnetEdge(lan, ip('fd00::')));
    assert.ok(!isSubnetEdge(lan, ip('fd00::1')));
    assert.ok(!isSubnetEdge(lan, ip('fd00::ffff:ffff:ffff:ffff')));
    assert.ok(!isSubnetEdge(lan, ip('fd00:0:0:1::')));
    assert.ok(!isSubnetEdge({ ip: ip('fd00::'), length: 127 }, ip('fd00::')));
    assert.ok(!isSubnetEdge({ ip: ip('fd00::'), length: 128 }, ip('fd00::')));
    assert.ok(!isSubnetRouterAnycast({ ip: ip('10.1.1.0'), length: 24 }, ip('10.1.1.0')));
  });
  it('isSubnetEdge agrees with BigInt', () => {
    fc.assert(
      fc.property(
        ipv4,
        fc.nat({ max: 32 }),
        fc.constantFrom(0, 1, 0xffff_ffff, 0x7fff_ffff),
        (network, length, host) => {
          const size = 1n << BigInt(32 - length);
          const first = (BigInt(network) / size) * size;
          const address = Number(first + (BigInt(host) % size)) as Ipv4;
          const offset = BigInt(address) - first;
          assert.equal(
            isSubnetEdge({ ip: network, length }, address),
            length < 31 && (offset === 0n || offset === size - 1n),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('special addresses', () => {
  it('RFC 3927, RFC 4291 section 2.5.6: link-local', () => {
    for (const text of ['169.254.0.0', '169.254.255.255', 'fe80::1', 'febf::1'])
      assert.ok(isLinkLocal(ip(text)), text);
    for (const text of ['169.253.255.255', '169.255.0.0', 'fec0::1', 'fe7f::1', '10.1.1.1'])
      assert.ok(!isLinkLocal(ip(text)), text);
  });
  it('RFC 6890: unspecified, loopback, multicast, reserved', () => {
    const rows: readonly (readonly [string, boolean, boolean, boolean, boolean])[] = [
      ['0.0.0.0', true, false, false, false],
      ['127.0.0.1', false, true, false, false],
      ['127.255.255.255', false, true, false, false],
      ['128.0.0.1', false, false, false, false],
      ['224.0.0.1', false, false, true, false],
      ['239.255.255.255', false, false, true, false],
      ['240.0.0.1', false, false, false, true],
      ['255.255.255.255', false, false, false, true],
      ['10.1.1.5', false, false, false, false],
      ['::', true, false, false, false],
      ['::1', false, true, false, false],
      ['ff02::1', false, false, true, false],
      ['fe80::1', false, false, false, false],
    ];
    for (const [text, unspecified, loopback, multicast, reserved] of rows) {
      const address = ip(text);
      assert.deepEqual(
        [isUnspecified(address), isLoopback(address), isMulticast(address), isReserved(address)],
        [unspecified, loopback, multicast, reserved],
        text,
      );
    }
  });
});

describe('MAC addresses', () => {
  it('text and bytes round trip', () => {
    fc.assert(
      fc.property(mac, (address) => {
        const text = formatMac(address);
        assert.match(text, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
        assert.equal(parseMac(text), address);
        assert.equal(parseMac(text.replace(/:/g, '-').toUpperCase()), address);
        const bytes = new Uint8Array(8);
        writeMac(bytes, 1, address);
        assert.equal(readMac(bytes, 1), address);
        assert.equal(Buffer.from(bytes.subarray(1, 7)).toString('hex'), text.replace(/:/g, ''));
        assert.equal(bytes[0], 0);
        assert.equal(bytes[7], 0);
      }),
    );
  });
  it('IEEE 802: the low bit of the first octet marks a group', () => {
    fc.assert(
      fc.property(mac, (address) => {
        assert.equal(isGroupMac(address), ((BigInt(address) >> 40n) & 1n) === 1n);
      }),
    );
  });
  it('refuses other texts', () => {
    for (const text of [
      '',
      '02:00:0a:01:01',
      '02:00:0a:01:01:05:06',
      '2:0:a:1:1:5',
      '02-00:0a:01:01:05',
      '0200.0a01.0105',
      'gg:00:0a:01:01:05',
    ]) {
      assert.equal(parseMac(text), undefined, text);
    }
  });
});

describe('addresses that Neighbor Discovery is made of', () => {
  it('an IPv6 address is written and read at any offset', () => {
    fc.assert(
      fc.property(ipv6, fc.nat({ max: 9 }), (address, offset) => {
        const bytes = new Uint8Array(26).fill(0xaa);
        writeIpv6(bytes, offset, address);
        assert.equal(readIpv6(bytes, offset), address);
        assert.ok([...bytes.keys()].every((i) => (i >= offset && i < offset + 16) || bytes[i] === 0xaa));
      }),
    );
  });
  it('RFC 4291 section 2.7.1, RFC 2464 section 7: the solicited-node group and its MAC', () => {
    const group = solicitedNodeGroup(ip('4037::01:800:200e:8c6c') as Ipv6);
    assert.equal(formatIp(group), 'ff02::1:ff0e:8c6c');
    assert.equal(formatMac(groupMac(group)), '33:33:ff:0e:8c:6c');
    assert.equal(formatMac(groupMac(ip('ff02::1') as Ipv6)), '33:33:00:00:00:01');
    assert.ok(isGroupMac(groupMac(group)));
    assert.ok(isSolicitedNodeGroup(group));
    for (const text of ['ff02::1', 'ff02::1:fe0e:8c6c', 'ff05::1:ff0e:8c6c', '10.1.1.1'])
      assert.ok(!isSolicitedNodeGroup(ip(text)), text);
  });
  it('the group tells the low 24 bits, and with a prefix they are an address of that group', () => {
    fc.assert(
      fc.property(ipv6, ipv6, fc.nat({ max: 128 }), (address, network, length) => {
        const group = solicitedNodeGroup(address);
        const low = low24(group);
        assert.equal(low, low24(address));
        assert.equal(low, Number(bits(address) & 0xff_ffffn));
        const prefix = { ip: network, length };
        const made = withLow24(prefix, low);
        assert.equal(made === undefined, length > 104);
        if (made === undefined) return;
        assert.ok(contains(prefix, made));
        assert.equal(solicitedNodeGroup(made), group);
      }),
    );
    assert.equal(formatIp(withLow24({ ip: ip('2001:db8:1::'), length: 64 }, 0x05) as Ip), '2001:db8:1::5');
    assert.equal(withLow24({ ip: ip('10.1.1.0'), length: 24 }, 5), undefined);
  });
  it('RFC 4291 appendix A: the address that a host makes of a prefix and its MAC', () => {
    const mac = parseMac('34:56:78:9a:bc:de') as Mac;
    const lan = { ip: ip('2001:db8:1::1'), length: 64 };
    assert.equal(formatIp(withEui64(lan, mac) as Ip), '2001:db8:1:0:3656:78ff:fe9a:bcde');
    assert.equal(
      formatIp(withEui64({ ip: ip('fe80::'), length: 10 }, parseMac('02:00:0a:01:01:05') as Mac) as Ip),
      'fe80::aff:fe01:105',
    );
    assert.equal(withEui64({ ...lan, length: 65 }, mac), undefined);
    assert.equal(withEui64({ ip: ip('10.1.1.0'), length: 24 }, mac), undefined);
  });
  it('RFC 4291 section 2.5.5.2: IPv4-mapped addresses', () => {
    assert.ok(isIpv4Mapped(ip('::ffff:10.1.1.5')));
    for (const text of ['::10.1.1.5', '::1:ffff:10.1.1.5', '10.1.1.5', '::fffe:10.1.1.5'])
      assert.ok(!isIpv4Mapped(ip(text)), text);
  });
});
