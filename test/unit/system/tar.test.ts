import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { tar } from '../../../src/system/state/tar.js';

test('tar(1) lists and unpacks an archive of files of any length (POSIX.1-1988 ustar)', () => {
  const lengths = [0, 1, 511, 512, 513, 70_000];
  const files = lengths.map((length) => ({ name: `report/${length}`, bytes: Buffer.alloc(length, 'x') }));
  const archive = tar(files, new Date('2026-11-29T12:00:00Z'));
  const listed = spawnSync('tar', ['-tvf', '-'], { input: archive, encoding: 'utf8', env: { TZ: 'UTC' } });
  assert.equal(listed.stderr, '');
  const lines = listed.stdout.trim().split('\n');
  assert.equal(lines.length, lengths.length);
  lines.forEach((line, i) => {
    assert.match(line, new RegExp(`^-rw------- 0/0 +${lengths[i]} 2026-11-29 12:00 report/${lengths[i]}$`));
  });
  const unpacked = spawnSync('tar', ['-xOf', '-', 'report/513'], { input: archive, encoding: 'utf8' });
  assert.equal(unpacked.stdout, 'x'.repeat(513));
});

test('a name that does not fit is refused', () => {
  assert.throws(
    () => tar([{ name: 'x'.repeat(101), bytes: Buffer.alloc(0) }], new Date(0)),
    /name of 101 characters/,
  );
});
