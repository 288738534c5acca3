import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { KeyFileError, Keys, readKeys } from '../../../src/mapping/keys.js';

describe('the key file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-keys-'));
  after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys');

  it('the highest id signs, and each verifies', () => {
    const keys = new Keys('# ours\n1 old\n\n 7  new \n');
    assert.equal(keys.signingKey, 7);
    const bytes = Uint8Array.of(1, 2, 3);
    for (const id of [1, 7]) {
      const mac = keys.sign(id, 2, bytes);
      assert.equal(mac.length, 32);
      assert.equal(keys.verify(id, 2, bytes, mac), undefined);
      assert.equal(keys.verify(id, 2, bytes, mac.subarray(0, 16)), undefined, 'RFC 4868');
      assert.equal(keys.verify(id, 2, Uint8Array.of(1, 2, 4), mac), 'bad-mac');
    }
    assert.equal(keys.verify(2, 2, bytes, keys.sign(1, 2, bytes)), 'unknown-key');
    assert.equal(keys.sign(1, 1, bytes).length, 20);
    assert.throws(() => keys.sign(2, 2, bytes), RangeError);
  });
  it('lines that are no keys', () => {
    assert.throws(() => new Keys('1 a\n300 b\n'), /line 2 is not/);
    assert.throws(() => new Keys('1\n'), /line 1 is not/);
    assert.throws(() => new Keys('1 a\n1 b\n'), /line 2: key 1 is there already/);
    assert.throws(() => new Keys('# none\n'), KeyFileError);
  });
  it('a file that others can read is refused', () => {
    writeFileSync(path, '1 secret\n');
    chmodSync(path, 0o604);
    assert.throws(() => readKeys(path), /chmod o= /);
    chmodSync(path, 0o640);
    assert.equal(readKeys(path).signingKey, 1);
    assert.throws(() => readKeys(join(directory, 'missing')), /cannot read the key file/);
  });
});
