import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { encodeEcm } from '../../../../src/wire/lisp/ecm.js';
import { encodeLisp } from '../../../../src/wire/lisp/message.js';
import { MESSAGES, ip } from './lisp-kit.js';

/** What another program reads in our bytes. */

const HAS_TSHARK = spawnSync('tshark', ['-v']).status === 0;
const LINK_TYPE_RAW_IP = 101;

/** A capture file with each of these as the payload of a UDP packet to port 4342. */
function captureFile(payloads: readonly Uint8Array[]): Buffer {
  const parts = [Buffer.alloc(24)];
  const header = parts[0] as Buffer;
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65535, 16);
  header.writeUInt32LE(LINK_TYPE_RAW_IP, 20);
  for (const message of payloads) {
    // An ECM is the type, and an IP packet to the control port.
    const addresses = { sourceIp: ip('10.255.0.1'), destinationIp: ip('10.255.0.9'), sourcePort: 4342 };
    const packet = encodeEcm({ ...addresses, message }).subarray(4);
    const record = Buffer.alloc(16);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    parts.push(record, Buffer.from(packet));
  }
  return Buffer.concat(parts);
}

describe('tshark reads the same in our messages', { skip: !HAS_TSHARK && 'no tshark' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-lisp-'));
  after(() => rmSync(directory, { recursive: true }));

  function fields(message: Uint8Array, ...names: readonly string[]): Record<string, string> {
    const path = join(directory, 'one.pcap');
    writeFileSync(path, captureFile([message]));
    const all = [...names, '_ws.malformed', '_ws.expert.message'];
    const run = spawnSync('tshark', ['-r', path, '-T', 'fields', ...all.flatMap((name) => ['-e', name])], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 0, run.stderr);
    const values = run.stdout.replace(/\n$/, '').split('\t');
    const read = Object.fromEntries(all.map((name, i) => [name, values[i] ?? '']));
    assert.equal(read['_ws.malformed'], '', 'malformed');
    assert.equal(read['_ws.expert.message'], '', 'an expert remark');
    return Object.fromEntries(names.map((name) => [name, read[name] as string]));
  }
  const of = (name: string) => encodeLisp(MESSAGES[name] as (typeof MESSAGES)[string]);

  it('Map-Register', () => {
    const expected = {
      'lisp.type': '3',
      'lisp.nonce': '0x8000000000000000',
      'lisp.keyid': '0x0102',
      'lisp.mreg.flags.pmr': '1',
      'lisp.mreg.flags.wmn': '1',
      'lisp.mreg.flags.xtrid': '1',
      'lisp.mapping.eid.ipv4': '10.1.1.5',
      'lisp.mapping.eid.masklen': '32,128',
      'lisp.mapping.ttl': '1440,1440',
      'lisp.mapping.ver': '9,9',
      'lisp.lcaf.iid': '100',
      'lisp.loc.locator': '10.255.0.1,10.255.0.1,fd00::1',
      'lisp.xtrid': '0102030405060708090a0b0c0d0e0f10',
      'lisp.siteid': '0000000000000007',
    };
    assert.deepEqual(fields(of('register'), ...Object.keys(expected)), expected);
  });
  it('Map-Request with N, and an SMR', () => {
    // Version 4.0 does not know the bit that RFC 9437 gave to the xTR-ID of a Map-Request.
    const subscribe = fields(of('subscribe'), 'lisp.type', 'lisp.mreq.record.res');
    assert.deepEqual(subscribe, { 'lisp.type': '1', 'lisp.mreq.record.res': '0x80' });
    const expected = {
      'lisp.mreq.flags.smr': '1',
      'lisp.mreq.srceid.ipv4': '10.1.1.5',
      'lisp.mreq.itr_rloc_ipv4': '10.255.0.1',
      'lisp.mreq.itr_rloc_ipv6': 'fd00::1',
      'lisp.mreq.record.prefix.ipv4': '10.2.1.5',
    };
    assert.deepEqual(fields(of('solicit'), ...Object.keys(expected)), expected);
  });
  it('Map-Reply, Map-Notify and Map-Notify-Ack', () => {
    for (const [name, type] of Object.entries({ reply: '2', notify: '4', acknowledgement: '5' }))
      assert.equal(fields(of(name), 'lisp.type')['lisp.type'], type, name);
  });
  it('ECM', () => {
    const packet = { sourceIp: ip('10.255.0.1'), destinationIp: ip('10.2.1.5'), sourcePort: 4342 };
    const read = fields(
      encodeEcm({ ...packet, message: of('solicit') }),
      'lisp.type',
      'ip.dst',
      'udp.checksum.status',
    );
    assert.equal(read['lisp.type'], '8,1');
    assert.equal(read['ip.dst'], '10.255.0.9,10.2.1.5');
  });
});
