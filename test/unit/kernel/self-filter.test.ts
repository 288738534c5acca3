import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { isOwnNotification, filterOwn } from '../../../src/kernel/watch/self-filter.js';

// ip -o -d -N monitor link address neigh route, iproute2-6.1.0
const OWN = [
  '10.64.1.5 dev lan0 lladdr 02:00:0a:40:01:05 extern_learn PERMANENT proto 44 ',
  '1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 1 ',
  '1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 3523215362 ',
  '6 10.64.1.7 table 254 proto 44 scope 0 metric 5 ',
];
const NEWS = [
  'Deleted 1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 1 ',
  'Deleted 10.64.1.5 dev lan0 FAILED proto 44 ',
  // an administrator made it his own
  '10.64.1.5 dev lan0 lladdr 02:00:0a:40:01:05 PERMANENT proto 44 ',
  '10.64.1.6 dev lan0 lladdr 02:00:0a:40:01:06 REACHABLE ',
  '1 10.64.1.5 via 192.0.2.1 dev up0 table 254 proto 186 scope 0 metric 20 ',
  '1 10.64.1.5 via 192.0.2.1 dev up0 table 254 proto 144 scope 0 metric 20 ',
  '9: lan0@if8: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group 0 \\    link/ether',
];

test('design.md 5.5: what we did ourselves is taken out of the monitor, everything else gets through, the last line too', async () => {
  const source = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  const filter = filterOwn(source.stdout, 44);
  source.stdin.end([...OWN, ...NEWS, ...OWN].map((line) => `${line}\n`).join(''));
  assert.ok(filter.stdout);
  const heard = await text(filter.stdout);
  assert.deepEqual(
    heard
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd()),
    NEWS.map((line) => line.trimEnd()),
  );
});

test('design.md 5.5: the monitor ends when its filter is gone', async () => {
  const source = spawn('sh', ['-c', 'while echo 10.0.0.1 dev lan0 REACHABLE; do :; done'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise((resolve) => source.on('close', resolve));
  const filter = filterOwn(source.stdout, 44);
  filter.on('spawn', () => filter.kill('SIGKILL'));
  await ended;
});

test('an own line that the filter does not know is told from one of others', () => {
  for (const line of OWN) assert.ok(isOwnNotification(line), line);
  assert.ok(!isOwnNotification(NEWS[0] as string));
  assert.ok(!isOwnNotification(NEWS[2] as string));
});
