import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatMac, groupMac } from '../../../src/wire/addresses.js';
import { MLD_REPORT_CUT_BYTES } from '../../../src/wire/icmpv6.js';
import { IPV6_PAYLOAD_AT } from '../../../src/wire/ipv6.js';
import {
  ALL_MLDV2_ROUTERS,
  RECORD,
  decodeMldReport,
  encodeMldQuery,
  encodeMldReport,
  encodeMulticastRouterAdvertisement,
} from '../../../src/wire/mld.js';
import * as golden from './golden-ipv6.js';
import { FRAMES, MALFORMED, damaged, groups, ip, joined, linkLocals, mac, macs, mended } from './ipv6-kit.js';

const ALERT_AT = IPV6_PAYLOAD_AT;
const AT = ALERT_AT + 8;
const HOST_MAC = mac('02:00:0a:01:01:05');
const OWN = mac('02:00:0a:01:01:01');

function groupsIn(bytes: Uint8Array): string[] {
  const report = decodeMldReport(bytes);
  assert.ok(typeof report !== 'string', `not decoded: ${String(report)}`);
  return report.groups.map(formatIp);
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('MLD reports of real stacks (RFC 2710, RFC 3810)', () => {
  const expected: Readonly<Record<string, readonly string[]>> = {
    LINUX_MLDV2_TENTATIVE: ['ff02::1:ff01:105'],
    LINUX_MLDV2: ['ff02::1:ff00:5', 'ff02::1:ff01:105'],
    LINUX_MLDV2_LEAVE: [],
    LINUX_MLDV1: ['ff02::1:ff00:6'],
  };
  for (const [name, list] of Object.entries(expected)) {
    const bytes = FRAMES[name] as Uint8Array;
    it(`decodes ${name} as tcpdump does`, () => {
      assert.deepEqual(groupsIn(bytes), list);
      const report = decodeMldReport(bytes);
      assert.ok(typeof report !== 'string');
      assert.equal(formatMac(report.source), '02:00:0a:01:01:05');
      const isTentative = name === 'LINUX_MLDV2_TENTATIVE';
      assert.equal(formatIp(report.sourceIp), isTentative ? '::' : 'fe80::aff:fe01:105');
    });
    it(`refuses every truncation of ${name}`, () => {
      for (let length = 0; length < bytes.length; length++)
        assert.equal(decodeMldReport(bytes.subarray(0, length)), 'truncated', `${length} bytes`);
    });
  }
  it('encodes the reports of a join back to their bytes', () => {
    for (const bytes of [golden.LINUX_MLDV2_TENTATIVE, golden.LINUX_MLDV2]) {
      const report = decodeMldReport(bytes);
      assert.ok(typeof report !== 'string');
      assert.equal(hex(encodeMldReport(report)), hex(bytes));
    }
  });
  it('the rest of what was sniffed is no report', () => {
    for (const [name, bytes] of Object.entries(FRAMES))
      if (expected[name] === undefined) assert.equal(decodeMldReport(bytes), 'not-neighbour-discovery', name);
  });
});

describe('validation (RFC 3810 section 5)', () => {
  it('the hop limit is 1', () => {
    for (const hopLimit of [0, 2, 64, 255])
      assert.equal(decodeMldReport(damaged(golden.LINUX_MLDV2, 21, hopLimit)), 'bad-hop-limit');
  });
  it('it is behind a hop-by-hop header with the option Router Alert, and behind nothing else', () => {
    const report = golden.LINUX_MLDV2;
    const withHeader = (...header: number[]) =>
      decodeMldReport(joined(report.subarray(0, ALERT_AT), header, report.subarray(AT)));
    assert.equal(withHeader(58, 0, 1, 4, 0, 0, 0, 0), 'extension-header', 'padding');
    assert.equal(withHeader(58, 0, 5, 2, 0, 1, 1, 0), 'extension-header', 'an alert of RSVP');
    assert.equal(withHeader(58, 0, 5, 3, 0, 0, 0, 0), 'extension-header', 'an alert of three octets');
    assert.equal(typeof withHeader(58, 0, 0, 0, 5, 2, 0, 0), 'object', 'Pad1 first');
    assert.equal(typeof withHeader(58, 0, 1, 0, 5, 2, 0, 0), 'object', 'PadN first');
    const bare = damaged(joined(report.subarray(0, ALERT_AT), report.subarray(AT)), 20, 58);
    assert.equal(decodeMldReport(mended(bare)), 'extension-header');
  });
  it('the source is a link-local address or ::, and a group is a multicast address', () => {
    assert.equal(decodeMldReport(mended(damaged(golden.LINUX_MLDV2, 22, 0x20), AT)), 'bad-address');
    assert.equal(decodeMldReport(mended(damaged(golden.LINUX_MLDV2, AT + 12, 0x20), AT)), 'bad-address');
  });
  it('a wrong checksum', () => {
    assert.equal(decodeMldReport(damaged(golden.LINUX_MLDV2, AT + 2, 0, 0)), 'bad-checksum');
  });
  it('more records or sources than there are bytes', () => {
    const [records, sources, auxiliary] = [AT + 7, AT + 8 + 3, AT + 8 + 1];
    assert.equal(decodeMldReport(mended(damaged(golden.LINUX_MLDV2, records, 3), AT)), 'bad-length');
    assert.equal(decodeMldReport(mended(damaged(golden.LINUX_MLDV2, sources, 200), AT)), 'bad-length');
    assert.equal(decodeMldReport(mended(damaged(golden.LINUX_MLDV2, auxiliary, 200), AT)), 'bad-length');
    assert.deepEqual(groupsIn(mended(damaged(golden.LINUX_MLDV2, records, 1), AT)), ['ff02::1:ff00:5']);
  });
  it('a report that was cut by the capture is taken as far as it was read, without its checksum', () => {
    const listed = Array.from({ length: 60 }, (_, i) => ip(`ff02::1:ff00:${(i + 1).toString(16)}`));
    const whole = encodeMldReport({
      source: HOST_MAC,
      destination: groupMac(ALL_MLDV2_ROUTERS),
      sourceIp: ip('fe80::5'),
      destinationIp: ALL_MLDV2_ROUTERS,
      groups: listed,
    });
    const all = listed.map(formatIp);
    assert.deepEqual(groupsIn(whole), all);
    for (let length = 0; length < MLD_REPORT_CUT_BYTES; length++)
      assert.equal(decodeMldReport(whole.subarray(0, length)), 'truncated', `${length} bytes`);
    for (let length = MLD_REPORT_CUT_BYTES; length < whole.length; length++)
      assert.deepEqual(
        groupsIn(whole.subarray(0, length)),
        all.slice(0, Math.floor((length - AT - 8) / 20)),
        `${length} bytes`,
      );
  });
  it('section 5.2.12: who includes no source leaves; who excludes some or includes one listens', () => {
    const one = golden.LINUX_MLDV2_TENTATIVE;
    const source = new Array<number>(16).fill(1);
    const listens = (type: number, count: number) => {
      const record = damaged(one, AT + 8, type, 0, 0, count);
      return groupsIn(mended(joined(record, ...new Array(count).fill(source)), AT)).length === 1;
    };
    assert.deepEqual(
      Object.values(RECORD).map((type) => [listens(type, 0), listens(type, 1)]),
      [
        [false, true],
        [true, true],
        [false, true],
        [true, true],
        [false, true],
        [false, false],
      ],
    );
    assert.equal(listens(7, 1), false, 'an unknown type is ignored');
  });
});

describe('what we send', () => {
  it('a general query (RFC 3810 section 5.1), to one MAC alone', () => {
    assert.equal(
      hex(encodeMldQuery(OWN, HOST_MAC, ip('fe80::1'))),
      '02000a010105' +
        '02000a010101' +
        '86dd' +
        '60000000' +
        '0024' +
        '00' +
        '01' +
        'fe800000000000000000000000000001' +
        'ff020000000000000000000000000001' +
        '3a00050200000100' +
        '8200' +
        '7da5' +
        '0001' +
        '0000' +
        '0'.repeat(32) +
        '02' +
        '7d' +
        '0000',
    );
  });
  it('a multicast router advertisement (RFC 4286 section 4)', () => {
    assert.equal(
      hex(encodeMulticastRouterAdvertisement(OWN, ip('fe80::1'), 20)),
      '33330000006a' +
        '02000a010101' +
        '86dd' +
        '60000000' +
        '0010' +
        '00' +
        '01' +
        'fe800000000000000000000000000001' +
        'ff02000000000000000000000000006a' +
        '3a00050200000100' +
        '9714' +
        '6a3b' +
        '007d' +
        '0002',
    );
  });
});

describe('properties of the codec', () => {
  it('RFC 3810 section 5.2: decode(encode(report)) is the report', () => {
    fc.assert(
      fc.property(
        macs,
        macs,
        linkLocals,
        fc.array(groups, { maxLength: 70 }),
        (source, destination, sourceIp, list) => {
          const packet = { source, destination, sourceIp, destinationIp: ALL_MLDV2_ROUTERS };
          const report = { ...packet, type: 143 as const, groups: list };
          assert.deepEqual(decodeMldReport(encodeMldReport(report)), report);
          const left = decodeMldReport(encodeMldReport(report, RECORD.changeToInclude));
          assert.deepEqual(left, { ...report, groups: [] });
        },
      ),
    );
  });
  it('damaged reports whose checksum is right give a value or a named reason', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(FRAMES)),
        fc.array(fc.tuple(fc.nat({ max: 117 }), fc.nat({ max: 255 })), { maxLength: 3 }),
        (good, changes) => {
          const bytes = good.slice();
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const report = decodeMldReport(mended(bytes, AT));
          assert.ok(typeof report === 'object' || MALFORMED.has(report));
        },
      ),
      { numRuns: 3000 },
    );
  });
});
