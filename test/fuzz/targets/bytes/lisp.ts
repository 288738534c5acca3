import assert from 'node:assert/strict';
import { isIpv4 } from '../../../../src/wire/addresses.js';
import { LISP_MALFORMED } from '../../../../src/wire/lisp/address.js';
import { decodeEcm, encodeEcm } from '../../../../src/wire/lisp/ecm.js';
import { decodeAuthentication, decodeLisp, encodeLisp } from '../../../../src/wire/lisp/message.js';
import { MESSAGES, ip } from '../../../unit/wire/lisp/lisp-kit.js';
import type { Target } from '../../engine/target.js';

/** Control messages of LISP as they come from port 4342. */

const REASONS: ReadonlySet<string> = new Set(LISP_MALFORMED);

function check(bytes: Uint8Array): void {
  const before = bytes.slice();
  const message = decodeLisp(bytes);
  const packet = decodeEcm(bytes);
  assert.deepEqual(bytes, before, 'what came is not changed');
  for (const read of [message, packet, decodeAuthentication(bytes)])
    assert.ok(typeof read !== 'string' || REASONS.has(read), String(read));
  assert.ok(typeof message === 'string' || typeof packet === 'string', 'a message is of one kind');
  if (typeof message !== 'string')
    assert.deepEqual(decodeLisp(encodeLisp(message)), message, 'what is encoded is decoded again');
  if (typeof packet === 'string') return;
  assert.equal(isIpv4(packet.sourceIp), isIpv4(packet.destinationIp));
  assert.deepEqual(decodeEcm(encodeEcm(packet)), packet, 'what is encoded is decoded again');
  check(packet.message);
}

export const target: Target = {
  covers: [
    'src/wire/lisp/address.ts',
    'src/wire/lisp/record.ts',
    'src/wire/lisp/message.ts',
    'src/wire/lisp/ecm.ts',
  ],
  maxBytes: 400,
  *seeds() {
    for (const message of Object.values(MESSAGES)) {
      const bytes = encodeLisp(message);
      yield bytes;
      yield encodeEcm({
        sourceIp: ip('10.0.0.1'),
        destinationIp: ip('10.0.0.2'),
        sourcePort: 4342,
        message: bytes,
      });
    }
  },
  run: check,
};
