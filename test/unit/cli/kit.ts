import type { TestContext } from 'node:test';
import { run } from '../../../src/ctl.js';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import { type Running, host, start } from '../control/fixture.js';

const ip = (text: string) => parseIp(text) as Ip;

/** What marpctl said. */
export interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export async function ctl(...argv: string[]): Promise<Result> {
  let out = '';
  let err = '';
  const status = await run(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { status, out, err };
}

/** A fake daemon with two hosts, and marpctl for it. */
export async function startWith(
  t: TestContext,
): Promise<Running & { ask(...argv: string[]): Promise<Result> }> {
  const running = await start(t);
  running.daemon.table.set(ip('10.1.1.5'), host('10.1.1.5'));
  running.daemon.table.set(
    ip('10.1.1.20'),
    host('10.1.1.20', {
      state: 'remembered',
      interface: null,
      mac: null,
      rttMs: null,
      lastHeardMs: null,
      contest: {
        count: 5,
        frozenForMs: 500_000,
        mac: '02:00:0a:01:01:05',
        interface: 'lan0',
        otherMac: '02:00:00:00:00:66',
        otherInterface: 'lan1',
      },
    }),
  );
  return { ...running, ask: (...argv) => ctl('--socket', running.socket, ...argv) };
}
