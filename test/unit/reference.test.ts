import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, references } from '../../scripts/docs-reference.js';
import { readReference } from '../../scripts/reference/toml.js';
import { COMMAND_NAMES } from '../../src/cli/arguments/help.js';
import { OPTIONS, spell } from '../../src/cli/arguments/options.js';
import { ROUTES } from '../../src/control/routes.js';
import { ALARMS, CAUSES, DROP_REASONS } from '../../src/mobility/events.js';

const BACKSPACE = String.fromCharCode(8);
const written = references();

/** A page as `man` shows it, on one line. @throws what scdoc or mandoc say against it */
function manPage(name: string): string {
  const roff = spawnSync('scdoc', { input: written[`docs/man/${name}.scd`], encoding: 'utf8' });
  assert.equal(roff.status, 0, roff.stderr);
  const lint = spawnSync('mandoc', ['-Tlint', '-Wwarning'], { input: roff.stdout, encoding: 'utf8' });
  // scdoc begins paragraphs where there are some.
  const findings = lint.stdout.split('\n').filter((line) => line !== '' && !line.includes('paragraph macro'));
  assert.deepEqual(findings, []);
  const args = ['-Tutf8', '-Owidth=1000'];
  const text = spawnSync('mandoc', args, { input: roff.stdout, encoding: 'utf8' }).stdout;
  // Bold is a letter, a backspace and the letter again.
  return text.replaceAll(new RegExp(`.${BACKSPACE}`, 'g'), '').replaceAll(/\s+/g, ' ');
}

for (const path of Object.keys(written)) {
  test(`${path} is what the tables of the code say (npm run docs:reference writes it)`, () => {
    assert.equal(readFileSync(join(ROOT, path), 'utf8'), written[path]);
  });
}

test('marpctl(8) has every command and every option', () => {
  const page = manPage('marpctl.8');
  for (const name of COMMAND_NAMES) assert.ok(page.includes(`marpctl ${name}`), name);
  for (const name of Object.keys(OPTIONS)) assert.ok(page.includes(spell(name)), name);
});

test('marpd(8) has what marpd --help says', () => {
  const page = manPage('marpd.8');
  for (const part of ['--config FILE', '--interface NAME', '--check', '--version', 'SIGHUP', '78 bad'])
    assert.ok(page.includes(part), part);
});

test('marpd.toml(5) has every key with its default', () => {
  const page = manPage('marpd.toml.5');
  const keys = readReference().flatMap((section) => section.keys);
  assert.ok(keys.length > 50);
  for (const { key, value } of keys) assert.ok(page.includes(`${key} = ${value}`), `${key} = ${value}`);
});

test('marpd(7) has every alarm, drop reason and cause', () => {
  const page = manPage('marpd.7');
  for (const name of [...ALARMS, ...DROP_REASONS, ...CAUSES]) assert.ok(page.includes(name), name);
  assert.match(page, /marpd_hosts /);
});

test('docs/openapi.json has every route of the API', () => {
  const { paths } = JSON.parse(written['docs/openapi.json'] as string);
  for (const { method, path } of ROUTES) assert.ok(paths[path]?.[method.toLowerCase()], `${method} ${path}`);
});

test('config/marpd.schema.json: defaults and examples have the types that it demands', () => {
  const { properties } = JSON.parse(written['config/marpd.schema.json'] as string);
  assert.equal(properties.timers.properties.keepalive.default, '5s');
  assert.equal(properties.router.additionalProperties, false, 'an unknown key is a mistake in an editor too');
  assert.deepEqual(properties.interface.items.required, ['name']);
  const check = (table: { properties: Record<string, { type?: string; default?: unknown }> }) => {
    for (const [key, { type, default: value }] of Object.entries(table.properties)) {
      if (value === undefined || type === undefined || type === 'array') continue;
      assert.equal(typeof value, type === 'integer' ? 'number' : type, key);
    }
  };
  for (const section of Object.values(properties) as never[]) if ('properties' in section) check(section);
});
