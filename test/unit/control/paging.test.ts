import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlClient, Refused } from '../../../src/control/client.js';
import { compareIps, pageOf } from '../../../src/control/paging.js';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import { ask, host, start } from './fixture.js';

const ip = (text: string) => parseIp(text) as Ip;

test('/v1/hosts filters and pages, and the pages meet', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.addHosts(25);
  daemon.table.set(
    ip('10.9.0.1'),
    host('10.9.0.1', { state: 'home', interface: 'lan0', mac: '02:00:00:00:00:99' }),
  );
  const client = new ControlClient(socket);
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await client.hosts({ limit: 10, after });
    assert.equal(page.total, 26);
    seen.push(...page.hosts.map((view) => view.ip));
    after = page.next ?? undefined;
  } while (after !== undefined);
  assert.deepEqual(
    seen,
    [...daemon.table.values()].map((view) => view.ip),
  );
  for (const filter of [
    { state: 'home' },
    { interface: 'lan0' },
    { mac: '02:00:00:00:00:99' },
    { prefix: '10.9.0.0/16' },
  ]) {
    assert.deepEqual(
      (await client.hosts(filter)).hosts.map((view) => view.ip),
      ['10.9.0.1'],
    );
  }
  await assert.rejects(
    client.hosts({ state: 'nope' }),
    (error) => error instanceof Refused && error.status === 400,
  );
});

test('a table of 20,000 hosts is streamed and other requests are served meanwhile', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.addHosts(20_000);
  const all = ask(socket, 'GET', '/v1/hosts');
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  const page = JSON.parse((await all).text);
  assert.equal(page.total, 20_000);
  assert.equal(new Set(page.hosts.map((view: { ip: string }) => view.ip)).size, 20_000);
  assert.equal(page.next, null);
});

test('pageOf: lowest addresses first, IPv4 before IPv6, nothing twice, nothing missed', () => {
  const texts = ['2001:db8::2', '10.0.0.3', '255.0.0.1', '2001:db8::1', '10.0.0.20'];
  const table = new Map(texts.map((text) => [ip(text), text]));
  const order = ['10.0.0.3', '10.0.0.20', '255.0.0.1', '2001:db8::1', '2001:db8::2'];
  assert.deepEqual(
    [...table.keys()].sort(compareIps).map((key) => table.get(key)),
    order,
  );
  for (let limit = 1; limit <= 6; limit++) {
    const seen: string[] = [];
    let after: Ip | undefined;
    do {
      const page = pageOf(table, () => true, { limit, after }, compareIps);
      assert.equal(page.total, 5);
      seen.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(seen, order);
  }
});
