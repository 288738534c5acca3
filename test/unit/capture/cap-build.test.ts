import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { capBinary, checkCapBuild } from '../../../src/capture/cap-build.js';

describe('the build of cap (design.md 5.1: with assertions it aborts when an interface goes down)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'marpd-native-'));
  after(() => rmSync(folder, { recursive: true }));

  function plant(name: string, content: Buffer): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  it('accepts the binary that our install step built', () => {
    assert.deepEqual(checkCapBuild(), { ok: true });
  });

  it('refuses a binary that refers to __assert_fail', () => {
    const path = plant(
      'asserts.node',
      Buffer.concat([readFileSync(capBinary()), Buffer.from('__assert_fail\0')]),
    );
    const verdict = checkCapBuild(path);
    assert.ok(!verdict.ok);
    assert.match(verdict.reason, /built with assertions.*npm run build:native/);
  });

  it('refuses a binary that was built without our header, or with another number of it', () => {
    const image = readFileSync(capBinary()).toString('latin1');
    const other = image.replaceAll(/marpd-cap-build-\d+/g, 'marpd-cap-build-0');
    assert.notEqual(other, image);
    const verdict = checkCapBuild(plant('plain.node', Buffer.from(other, 'latin1')));
    assert.ok(!verdict.ok);
    assert.match(verdict.reason, /without scripts\/cap-build\.h: run npm run build:native/);
  });

  it('refuses a file that is no compiled cap', () => {
    for (const content of ['', '\x7fELF of something else']) {
      const verdict = checkCapBuild(plant('other.node', Buffer.from(content, 'latin1')));
      assert.ok(!verdict.ok);
      assert.match(verdict.reason, /is not a compiled cap/);
    }
  });

  it('names a missing binary', () => {
    const verdict = checkCapBuild(join(folder, 'missing.node'));
    assert.ok(!verdict.ok);
    assert.match(verdict.reason, /cannot read .*missing\.node \(ENOENT\): run npm ci/);
  });
});
