import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as capture from '../../src/capture/overload/constants.js';
import * as admission from '../../src/mobility/admission/constants.js';

test('docs/overload.md names every constant of both tables, and none that is not there', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'overload.md'), 'utf8');
  const named = new Set(page.match(/\b[A-Z]+(?:_[A-Z]+)+\b/g));
  const words = new Set(page.match(/\b[A-Z]+(?:_[A-Z]+)*\b/g));
  const constants = [...Object.keys(capture), ...Object.keys(admission)];
  assert.deepEqual(
    constants.filter((name) => !words.has(name)),
    [],
    'not on the page',
  );
  assert.deepEqual(
    [...named].filter((name) => !constants.includes(name)),
    [],
    'not in a table',
  );
});
