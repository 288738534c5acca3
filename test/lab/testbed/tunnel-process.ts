// A Tunnel in the network namespace where this is started: JSON lines in, one JSON line out for each.

import { createInterface } from 'node:readline';
import { Tunnel, type TunnelOptions } from '../../../src/kernel/tunnel/tunnel.js';
import {
  type Ip,
  type Prefix,
  formatIp,
  formatPrefix,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';

export interface Question {
  readonly op: 'start' | 'set' | 'delete' | 'range' | 'adopted' | 'reconcile' | 'stats' | 'stop';
  readonly options?: Record<string, unknown> & {
    readonly rlocs: readonly string[];
    readonly servers: readonly string[];
  };
  readonly mappings?: readonly (readonly [prefix: string, rloc: string])[];
  /** The first so many /32 of 10.16.0.0/12, to one RLOC. */
  readonly count?: number;
  readonly rloc?: string;
  readonly keep?: boolean;
}

const ip = (text: string) => parseIp(text) as Ip;
const warnings: string[] = [];
let tunnel: Tunnel | undefined;

async function answer(question: Question): Promise<unknown> {
  const { op, options, mappings = [], count = 0, rloc = '', keep = false } = question;
  if (op === 'start' && options !== undefined) {
    tunnel = new Tunnel({
      ...(options as unknown as TunnelOptions),
      rlocs: options.rlocs.map(ip),
      servers: options.servers.map(ip),
      onWarning: (kind, message) => warnings.push(`${kind}: ${message}`),
      onInfo: (message) => console.error(message),
    });
    await tunnel.start();
  }
  if (tunnel === undefined) throw new Error('not started');
  const begun = performance.now();
  for (const [prefix, to] of mappings) {
    if (op === 'delete') tunnel.delete(parsePrefix(prefix) as Prefix);
    else tunnel.set(parsePrefix(prefix) as Prefix, ip(to));
  }
  for (let n = 0; n < count; n++) tunnel.set({ ip: (0x0a10_0000 + n) as Ip, length: 32 }, ip(rloc));
  tunnel.flush();
  if (op === 'reconcile') await tunnel.reconcile();
  if (op === 'stop') await tunnel.stop(keep);
  else await tunnel.idle();
  return {
    ms: performance.now() - begun,
    adopted: tunnel.adopted().map(({ prefix, rloc: to }) => `${formatPrefix(prefix)} ${formatIp(to)}`),
    ...tunnel.stats(),
    warnings,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await answer(JSON.parse(line) as Question)));
  } catch (error) {
    console.log(JSON.stringify({ error: (error as Error).message }));
  }
}
