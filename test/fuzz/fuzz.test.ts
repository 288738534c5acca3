import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { readdirSync } from 'node:fs';
import { SEED } from '../random.js';
import { Fuzzer, keepFinding } from './engine/fuzzer.js';
import { instrument } from './engine/instrument.js';

/**
 * Everything that reads bytes or text from outside, fed with inputs that coverage guides (test/fuzz/README.md). A minute
 * in all, an hour with MARPD_SOAK=1, MARPD_FUZZ_SECONDS=N for another time; MARPD_FUZZ_SAVE=1 keeps what it has found.
 */

const SOAK = process.env.MARPD_SOAK === '1';
const SECONDS = Number(process.env.MARPD_FUZZ_SECONDS ?? (SOAK ? 3600 : 60));
const root = resolve(import.meta.dirname, '../..');
const cache = join(root, 'node_modules/.cache/marpd-fuzz');
const directory = join(cache, String(process.pid));
const names = readdirSync(join(import.meta.dirname, 'targets'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replace(/\.ts$/, ''));

// Labs that run at the same time measure seconds.
setPriority(10);
console.log(`MARPD_SEED=${SEED}`);
const entries = [...names.map((name) => `test/fuzz/targets/${name}.ts`), 'test/fuzz/engine/worker.ts'];
const fuzzer = new Fuzzer(instrument(root, entries, directory), join(import.meta.dirname, 'seeds'));
let executions = 0;
let findings = 0;

describe('fuzzing', () => {
  after(() => {
    rmSync(directory, { recursive: true, force: true });
    console.log(`# fuzz: ${executions.toLocaleString('en')} executions, ${findings} findings`);
  });

  for (const name of names) {
    it(`${name}: no input breaks what test/fuzz/targets/${name}.ts demands`, async () => {
      const outcome = await fuzzer.run(name, (SECONDS * 1000) / names.length, SEED);
      executions += outcome.executions;
      const { taken, branches, ms, finding } = outcome;
      const coverage = branches === 0 ? 'coverage not measured' : `${taken} of ${branches} branches`;
      const rate = Math.round(outcome.executions / (ms / 1000)).toLocaleString('en');
      console.log(
        `# ${name}: ${outcome.executions.toLocaleString('en')} executions (${rate}/s), ${coverage}, ` +
          `${outcome.best.length} of ${outcome.inputs} inputs kept, ${(outcome.retainedBytes / 1e6).toFixed(1)} MB retained`,
      );
      if (process.env.MARPD_FUZZ_SAVE === '1' && outcome.best.length > 0 && finding === undefined)
        fuzzer.save(name, outcome.best);
      if (finding === undefined) return;
      findings++;
      const file = relative(root, keepFinding(join(cache, 'findings'), name, finding));
      const shown = JSON.stringify(Buffer.from(finding.input).toString('latin1').slice(0, 500));
      assert.fail(`${name}: ${finding.what}\ninput, kept in ${file}:\n${shown}`);
    });
  }
});
