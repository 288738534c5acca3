import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { parse } from '../../src/cli/arguments/parser.js';
import { COMMANDS } from '../../src/cli/commands.js';
import type { Command } from '../../src/cli/arguments/command.js';
import { journalStream } from '../../src/observe/log.js';
import { temporaryDirectory } from './control/fixture.js';

/** marpd as systemd and Docker run it: units, the journal, readiness and watchdog, the image. */

const ROOT = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

for (const unit of ['config/marpd.service', 'config/libvirt/marpd-events.service']) {
  test(`${unit}: systemd-analyze calls its exposure less than 2.0`, () => {
    const args = ['security', '--offline=true', '--no-pager', '--threshold=19', join(ROOT, unit)];
    const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    assert.equal(status, 0, stdout.split('\n').at(-2) ?? stderr);
  });
}

test('marpd.service stops before the routing daemons, has a watchdog, and is reloaded with a result', () => {
  const unit = read('config/marpd.service');
  assert.match(unit, /^After=.*\bfrr\.service\b.*\bbird\.service\b/m);
  assert.match(unit, /^WatchdogSec=30s$/m);
  assert.match(unit, /^ExecReload=\/usr\/bin\/marpctl reload$/m);
  assert.ok(COMMANDS.reload !== undefined);
});

test('the journal gets words behind their priority, on every line', () => {
  let out = '';
  const stream = journalStream({
    write: (text) => {
      out += text;
    },
  });
  const logger = pino({ base: null, level: 'trace', formatters: { level: (level) => ({ level }) } }, stream);
  logger.info({ version: '0.1.0' }, 'marpd started');
  logger.warn({ event: 'alarm', ip: '10.1.1.5', alarm: 'duplicate' }, '10.1.1.5 alarm duplicate');
  logger.error('configuration refused:\ntimers.hold: too short');
  logger.debug({ event: 'evidence', ip: '10.1.1.5' }, 'seen');
  assert.deepEqual(out.split('\n'), [
    '<6>marpd started version="0.1.0"',
    '<4>10.1.1.5 alarm duplicate',
    '<3>configuration refused:',
    '<3>timers.hold: too short',
    '<7>seen',
    '',
  ]);
});

/** What a program tells the service manager, by a systemd-notify that writes it down. */
function notified(t: TestContext, environment: Readonly<Record<string, string>>): string[] {
  const directory = temporaryDirectory(t);
  const states = join(directory, 'states');
  writeFileSync(join(directory, 'systemd-notify'), `#!/bin/sh\necho "$1" >>${states}\n`);
  chmodSync(join(directory, 'systemd-notify'), 0o755);
  const program = `
    import { feedWatchdog, sdNotify } from '${join(ROOT, 'src/system/sd-notify.ts')}';
    import { existsSync, readFileSync } from 'node:fs';
    sdNotify('READY=1');
    feedWatchdog();
    const enough = () => existsSync('${states}') && readFileSync('${states}', 'utf8').split('WATCHDOG=1').length > 3;
    const end = Date.now() + Number(process.env.LIVES_MS);
    const waiting = setInterval(() => { if (enough() || Date.now() > end) clearInterval(waiting); }, 5);`;
  execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: ROOT,
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}`, ...environment },
  });
  return existsSync(states) ? readFileSync(states, 'utf8').trimEnd().split('\n') : [];
}

test('the service manager hears of readiness, and of a loop that turns', (t) => {
  const states = notified(t, { NOTIFY_SOCKET: '/nonexistent', WATCHDOG_USEC: '60000', LIVES_MS: '20000' });
  assert.deepEqual(states.slice(0, 4), ['READY=1', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
});

test('without a service manager nothing is started', (t) => {
  const { NOTIFY_SOCKET: _socket, ...rest } = process.env;
  assert.equal(rest.NOTIFY_SOCKET, undefined);
  assert.deepEqual(notified(t, { WATCHDOG_USEC: '30000', LIVES_MS: '200' }), []);
});

test('the Dockerfile: a Node that is supported, sources that exist, a health check that marpctl understands', async () => {
  const text = read('Dockerfile').replaceAll('\\\n', ' ');
  const bases = [...text.matchAll(/^FROM node:(\d+)-trixie/gm)].map(([, major]) => Number(major));
  assert.equal(bases.length, 2);
  for (const major of bases) assert.ok(major >= 24 && major % 2 === 0, `Node ${major}`);
  const copied = [...text.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  for (const source of copied.filter((each) => !each.includes('*')))
    assert.ok(existsSync(join(ROOT, source)), source);
  const { scripts, version } = JSON.parse(read('package.json'));
  for (const [, config = ''] of scripts.build.matchAll(/-p (\S+)/g))
    assert.ok(copied.includes(config), config);
  assert.ok(text.includes(`ARG VERSION=${version}\n`));
  for (const label of ['title', 'version', 'source', 'licenses'])
    assert.ok(text.includes(`org.opencontainers.image.${label}=`), label);
  const [program, name, ...rest] = JSON.parse(/HEALTHCHECK .* CMD (\[.*\])/.exec(text)?.[1] ?? '[]');
  assert.equal(program, 'marpctl');
  assert.equal((await parse(COMMANDS[name] as Command, rest)).options.json, true);
});
