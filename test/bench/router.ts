import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Claim } from '../../src/kernel/claims/plan.js';
import { commandFor } from '../../src/kernel/ip/commands.js';
import { type Ip, type Mac, parseIp, parseMac } from '../../src/wire/addresses.js';
import { macFor } from '../lab/kit/host.js';
import { Marpd, type MarpdConfig } from '../lab/kit/marpd.js';
import type { Lab, Namespace } from '../lab/kit/namespace.js';
import type { Port } from './instruments.js';

/** All hosts of the bench are visitors of this home subnet, whose gateway is the first address. */
const HOME = { prefix: '10.64.0.0/10', gateway: '10.64.0.1' };

let routers = 0;

/** A router with cables `lan0`, `lan1`, ... to the crowd that plays its hosts, whose ends are `c0`, `c1`, ... */
export class BenchRouter {
  readonly router: Namespace;
  readonly crowd: Namespace;
  #nextHost = 0;

  constructor(
    readonly lab: Lab,
    readonly lans: number,
  ) {
    const number = routers++;
    [this.router, this.crowd] = lab.create(`r${number}`, `c${number}`) as [Namespace, Namespace];
    for (let i = 0; i < lans; i++) {
      lab.link(this.router, `lan${i}`, this.crowd, `c${i}`);
      this.router.ip(`addr add 172.16.${i}.1/24 dev lan${i}`, `link set lan${i} up`);
      this.crowd.ip(`link set c${i} arp off`, `link set c${i} up`);
    }
  }

  port(lan: number): Port {
    return { crowd: this.crowd, iface: `c${lan}`, router: this.router };
  }

  /** The first of `count` addresses that no measurement on this router had before. */
  newcomers(count: number): string {
    const first = ipText(0x0a400100 + this.#nextHost);
    this.#nextHost += count;
    return first;
  }

  /** Starts marpd and waits until it captures all cables. `interfaces` are TOML tables, lan0... if not given. */
  async start(config: MarpdConfig = {}): Promise<Marpd> {
    const names = Array.from({ length: this.lans }, (_, i) => `lan${i}`);
    const marpd = new Marpd(this.router, {
      interface: names.map((name) => ({ name })),
      subnet: [HOME],
      // Nothing but what is measured shall happen.
      timers: { keepalive: '1h' },
      log: { level: 'info' },
      ...config,
    });
    await marpd.start(...names);
    return marpd;
  }

  /** A file with the commands that marpd would give for these newcomers on lan0. */
  batchFile(ip: string, count: number): string {
    const file = join(this.lab.directory, `batch-${this.router.role}-${count}`);
    const slot = { table: 254, metric: 1 };
    const slots = { protocol: 44, fresh: slot, settled: slot };
    const lines: string[] = [];
    const first = ipNumber(ip);
    for (let i = 0; i < count; i++) {
      const host = parsed(ipText(first + i));
      const claim: Claim & { readonly mac: Mac } = {
        ip: host,
        iface: 0,
        dev: 'lan0',
        mac: parseMac(macFor(ipText(first + i))) as Mac,
        age: 'fresh',
      };
      lines.push(
        commandFor({ op: 'set-neighbour', claim }, host, slots),
        commandFor({ op: 'add-route', age: 'fresh', occupant: claim }, host, slots),
      );
    }
    writeFileSync(file, `${lines.join('\n')}\n`);
    return file;
  }
}

function parsed(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`${text} is no address`);
  return ip;
}

export function ipNumber(text: string): number {
  return text.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

export function ipText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
