import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { Fuzzer } from './engine/fuzzer.js';
import { instrument } from './engine/instrument.js';
import type { Finding } from './engine/worker.js';

/** The fuzzer finds what was planted, each kind of fault, and nothing in code that has none. */

const PLANTED = `
export function parse(text: string): number {
  if (text[0] === 'm') if (text[1] === 'a') if (text[2] === 'r') if (text[3] === 'p') throw new Error('planted');
  return text.length;
}
export function hang(text: string): void {
  for (let at = 0; text[0] === 'h' && text[1] === 'i'; ) at = text.length;
}
const kept: number[][] = [];
export function hoard(text: string): void {
  while (text[0] === 'b' && text[1] === 'g') kept.push(new Array(100_000).fill(1.5));
}
export function throws(text: string): void {
  if (text.length > 3) throw 'no error';
}
`;
const folder = resolve(import.meta.dirname, `../../node_modules/.cache/marpd-fuzz/planted-${process.pid}`);
const root = join(folder, 'root');
mkdirSync(join(root, 'src'), { recursive: true });
mkdirSync(join(root, 'test/fuzz/targets'), { recursive: true });
cpSync(join(import.meta.dirname, 'engine'), join(root, 'test/fuzz/engine'), { recursive: true });
cpSync(join(import.meta.dirname, '../random.ts'), join(root, 'test/random.ts'));
writeFileSync(join(root, 'src/planted.ts'), PLANTED);
after(() => rmSync(folder, { recursive: true, force: true }));

const names = ['parse', 'hang', 'hoard', 'throws'];
for (const name of [...names, 'nothing']) {
  const body = name === 'nothing' ? "parse('x')" : `${name}(textOf(input))`;
  const text = `import { ${name === 'nothing' ? 'parse' : name} } from '../../../src/planted.js';
import { textOf } from '../engine/target.js';
export const target = { covers: ['src/'], maxBytes: 20, run(input) { ${body}; } };`;
  writeFileSync(join(root, `test/fuzz/targets/${name}.ts`), text);
}
const entries = [...names, 'nothing'].map((name) => `test/fuzz/targets/${name}.ts`);
const code = instrument(root, [...entries, 'test/fuzz/engine/worker.ts'], join(folder, 'copy'));
const fuzzer = new Fuzzer(code, join(folder, 'seeds'), 2000);
/** A slow processor takes longer than that to fill a heap. */
const patient = new Fuzzer(code, join(folder, 'seeds'), 20_000);

/** Longest time; it ends with the finding. */
const LONG_MS = 60_000;

async function findingOf(name: string, ms = LONG_MS, by = fuzzer): Promise<Finding | undefined> {
  return (await by.run(name, ms, 1)).finding;
}

const textOf = ({ input }: Finding): string => Buffer.from(input).toString('latin1');

test('a fault behind four bytes that are compared one by one is found by coverage, and its input shortened', async () => {
  const finding = await findingOf('parse');
  assert.match(finding?.what ?? '', /^Error: planted/);
  assert.equal(finding && textOf(finding), 'marp');
});

test('an input that never ends is ended and reported', async () => {
  const finding = await findingOf('hang');
  assert.match(finding?.what ?? '', /^hangs/);
  assert.match(finding ? textOf(finding) : '', /^hi/);
});

test('an input that takes all memory is reported', async () => {
  const finding = await findingOf('hoard', LONG_MS, patient);
  assert.match(finding?.what ?? '', /memory/i);
  assert.match(finding ? textOf(finding) : '', /^bg/);
});

test('what is thrown and no Error is reported', async () => {
  assert.equal((await findingOf('throws'))?.what, 'threw no error');
});

test('code without a fault has no finding, and its coverage is counted', async () => {
  const outcome = await fuzzer.run('nothing', 300, 1);
  assert.equal(outcome.finding, undefined);
  assert.ok(outcome.executions > 0 && outcome.taken > 0 && outcome.taken < outcome.branches);
});
