import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metrics } from '../../../src/observe/metrics.js';

/** The board and the alert rules ask for metrics that exist. lab/behaviour/prometheus.test.ts has promtool read them. */

const CONFIG = join(import.meta.dirname, '../../../config');

interface Board {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

const board = JSON.parse(readFileSync(join(CONFIG, 'grafana/marpd.json'), 'utf8')) as Board;
const rules = readFileSync(join(CONFIG, 'prometheus/marpd.rules.yml'), 'utf8');

test('the board and the rules use no metric that does not exist', async (t) => {
  const metrics = new Metrics(() => {
    throw new Error('only names are asked');
  });
  t.after(() => metrics.stop());
  const names = new Set(metrics.described().map(({ name }) => name));
  const expressions = [...board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)), rules];
  assert.ok(board.panels.length > 15);
  const used = new Set(
    expressions.flatMap((text) => text.match(/\b(?:marpd|process|nodejs)_[a-z0-9_]+/g) ?? []),
  );
  const unknown = [...used].filter((name) => !names.has(name.replace(/_(bucket|sum|count)$/, '')));
  assert.deepEqual(unknown, []);
});
