import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Claim } from '../../src/kernel/claims/plan.js';
import { commandFor } from '../../src/kernel/ip/commands.js';
import {
  type Family,
  type Ip,
  type Mac,
  familyOf,
  formatIp,
  isIpv4,
  parseIp,
  readIpv4,
} from '../../src/wire/addresses.js';
import type { TomlTable } from 'smol-toml';
import { Marpd, type MarpdConfig } from '../lab/kit/marpd.js';
import type { Lab, Namespace } from '../lab/kit/namespace.js';
import type { Port } from './instruments.js';

/** All hosts of the bench are visitors of these home subnets. */
const HOMES: Readonly<Record<Family, { readonly prefix: string; readonly gateway: string }>> = {
  ipv4: { prefix: '10.64.0.0/10', gateway: '10.64.0.1' },
  ipv6: { prefix: '2001:db8:64::/64', gateway: 'fe80::1' },
};

let routers = 0;

/** A router with cables `lan0`, `lan1`, ... to the crowd that plays its hosts, whose ends are `c0`, `c1`, ... */
export class BenchRouter {
  readonly router: Namespace;
  readonly crowd: Namespace;
  #nextHost = 0;

  constructor(
    readonly lab: Lab,
    readonly lans: number,
    readonly families: readonly Family[] = ['ipv4'],
  ) {
    const number = routers++;
    [this.router, this.crowd] = lab.create(`r${number}`, `c${number}`) as [Namespace, Namespace];
    const hasIpv6 = families.includes('ipv6');
    if (hasIpv6) this.router.sysctl({ 'ipv6.conf.all.disable_ipv6': 0, 'ipv6.conf.default.disable_ipv6': 0 });
    for (let i = 0; i < lans; i++) {
      lab.link(this.router, `lan${i}`, this.crowd, `c${i}`);
      this.router.ip(`addr add 172.16.${i}.1/24 dev lan${i}`, `link set lan${i} up`);
      if (hasIpv6) this.router.ip(`addr add fe80::1/64 dev lan${i} nodad`);
      this.crowd.ip(`link set c${i} arp off`, `link set c${i} up`);
    }
  }

  port(lan: number): Port {
    return { crowd: this.crowd, iface: `c${lan}`, router: this.router };
  }

  /** The first of `count` addresses that no measurement on this router had before. */
  newcomers(count: number, family: Family = this.families[0] ?? 'ipv4'): string {
    const first = ipText(0x0a400100 + this.#nextHost, family);
    this.#nextHost += count;
    return first;
  }

  /** Starts marpd and waits until it captures all cables. `interfaces` are TOML tables, lan0... if not given. */
  async start(config: MarpdConfig = {}): Promise<Marpd> {
    const names = Array.from({ length: this.lans }, (_, i) => `lan${i}`);
    const marpd = new Marpd(this.router, {
      interface: names.map((name) => ({ name })),
      subnet: this.families.map((family) => HOMES[family]),
      // Nothing but what is measured shall happen.
      timers: { keepalive: '1h' },
      log: { level: 'info' },
      ...config,
      ...(this.families.includes('ipv6')
        ? { router: { ...(config.router as TomlTable | undefined), families: [...this.families] } }
        : {}),
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
    const family = familyOf(parsed(ip));
    const first = ipNumber(ip);
    for (let i = 0; i < count; i++) {
      const host = parsed(ipText(first + i, family));
      const claim: Claim & { readonly mac: Mac } = {
        ip: host,
        iface: 0,
        dev: 'lan0',
        mac: macOf(first + i),
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

/** Hosts of both families are numbered alike: by the last four bytes of the address. */
export function ipNumber(text: string): number {
  const ip = parsed(text);
  return isIpv4(ip)
    ? ip
    : readIpv4(
        Uint8Array.from(ip.slice(12), (c) => c.charCodeAt(0)),
        0,
      );
}

export function ipText(number: number, family: Family = 'ipv4'): string {
  const four = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
  return family === 'ipv4' ? four : formatIp(parsed(`2001:db8:64::${four}`));
}

/** 02:00:<number>, as the instruments have it. */
function macOf(number: number): Mac {
  return (0x0200 * 2 ** 32 + number) as Mac;
}
