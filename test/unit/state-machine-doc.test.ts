import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  PAGE,
  type Row,
  coordination,
  diagram,
  machines,
  table,
  withTables,
} from '../../scripts/docs-state-machine.js';

const ROWS: readonly Row[] = [
  { from: 'off', input: 'claimed', to: 'waiting' },
  { from: 'waiting, probing', input: 'heard', to: 'waiting', note: 'any frame counts | counts' },
  { from: 'probing', input: 'silence', to: 'off', outcome: 'lost' },
  { from: '*', input: 'released', to: 'off' },
];

test('docs/state-machine.md has the tables of the code (npm run docs:state-machine writes them)', async () => {
  const page = readFileSync(PAGE, 'utf8');
  assert.equal(page, withTables(page, await machines(), await coordination()));
});

test('a diagram has an arrow for each pair of states, with all inputs between them', () => {
  assert.deepEqual(diagram(ROWS).split('\n'), [
    '```mermaid',
    'stateDiagram-v2',
    '  off --> waiting: claimed',
    '  probing --> waiting: heard',
    '  probing --> off: silence',
    '  any --> off: released',
    '```',
  ]);
});

test('a table has a row for each transition, and a column of notes if there are any', () => {
  assert.deepEqual(table(ROWS.slice(0, 2)).split('\n'), [
    '| state | input | next state | outcome | note |',
    '| --- | --- | --- | --- | --- |',
    '| off | claimed | waiting |  |  |',
    '| waiting, probing | heard | waiting |  | any frame counts \\| counts |',
  ]);
  assert.ok(!table(ROWS.slice(2)).includes('note'));
});

test('rows that differ in their state only are one row, and rows in which nothing happens are none', () => {
  const rows = ['a', 'b', 'c'].flatMap((from) => [
    { from, input: 'lost', to: 'c' },
    { from, input: 'heard', to: from, outcome: 'refreshed' },
    { from, input: 'ignored', to: from },
  ]);
  assert.deepEqual(table(rows).split('\n').slice(2), [
    '| any | lost | c |  |',
    '| any | heard | unchanged | refreshed |',
  ]);
});

test('a page without markers is refused', () => {
  assert.throws(() => withTables('# State machines\n', [], []), /no place for the tables/);
});
