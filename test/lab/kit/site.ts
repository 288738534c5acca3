import { Host, type HostOptions, Switch } from './host.js';
import { type SiteIpv6, addIpv6, homesOf, prepareIpv6 } from './ipv6-site.js';
import { Marpd, type MarpdConfig } from './marpd.js';
import type { Lab, Namespace } from './namespace.js';
import { waitFor } from './program.js';

export const REMOTE_IP = '192.0.2.2';

/** MAC of the router on a LAN: `02:aa:00:00:00:<number of the LAN>`. */
export function routerMac(lan: string): string {
  return `02:aa:00:00:00:${lan.replace(/\D/g, '').padStart(2, '0')}`;
}

export interface SiteOptions {
  /** Router's address per LAN; null: an interface without an address. */
  readonly lans?: Readonly<Record<string, string | null>>;
  /** Merged over the site's default sections. */
  readonly config?: MarpdConfig;
  readonly rpFilter?: 0 | 1 | 2;
  /** Dual-stack; without, IPv6 is off. */
  readonly ipv6?: SiteIpv6;
}

/** Home subnets of the site's hosts with their gateways. */
export const SUBNETS = [
  { prefix: '10.1.1.0/24', gateway: '10.1.1.1' },
  { prefix: '10.2.2.0/24', gateway: '10.2.2.1' },
];

/** Production has 1 s. What a test shows here rarely depends on it, and it waits for it again and again. */
const ROUTER = { settle: '300ms' };

/** For `config.router`, where it does. */
export const REAL_SETTLE = { settle: '1s' };

/**
 * One router with LANs behind a switch, and a remote host on a plain cable:
 *
 *     host === switch === lan0 router up0 === remote 192.0.2.2
 *                     === lan1
 */
export class Site {
  readonly network: Switch;
  readonly router: Namespace;
  readonly remote: Namespace;
  readonly lans: readonly string[];
  readonly marpd: Marpd;

  constructor(
    readonly lab: Lab,
    options: SiteOptions = {},
  ) {
    const lans = options.lans ?? { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24' };
    this.lans = Object.keys(lans);
    this.network = new Switch(lab, this.lans);
    [this.router, this.remote] = lab.create('router', 'remote') as [Namespace, Namespace];
    const { ipv6 } = options;
    if (ipv6 !== undefined) prepareIpv6(this.router, this.remote);
    const rpFilter = options.rpFilter ?? 1;
    this.router.sysctl({ 'ipv4.conf.all.rp_filter': rpFilter, 'ipv4.conf.default.rp_filter': rpFilter });
    for (const [lan, address] of Object.entries(lans)) this.#connect(lan, address);
    lab.link(this.router, 'up0', this.remote, 'eth0');
    this.router.ip('addr add 192.0.2.1/24 dev up0', 'link set up0 up');
    this.remote.ip(
      `addr add ${REMOTE_IP}/24 dev eth0`,
      'link set eth0 up',
      'route add default via 192.0.2.1 dev eth0',
    );
    if (ipv6 !== undefined) addIpv6(this.router, this.remote, this.lans, ipv6);
    const { families = ['ipv4', 'ipv6'] } = ipv6 ?? { families: ['ipv4'] };
    this.marpd = new Marpd(this.router, {
      interface: this.lans.map((name) => ({ name })),
      subnet: [
        ...(families.includes('ipv4') ? SUBNETS : []),
        ...(families.includes('ipv6') ? homesOf(this.lans, ipv6 ?? {}) : []),
      ],
      ...options.config,
      router: {
        ...ROUTER,
        ...(ipv6 === undefined ? {} : { families: [...families] }),
        ...(options.config?.router as object | undefined),
      },
    });
  }

  #connect(lan: string, address: string | null): void {
    this.network.connect(this.router, lan, lan);
    this.router.ip(
      `link set ${lan} address ${routerMac(lan)}`,
      ...(address === null ? [] : [`addr add ${address} dev ${lan}`]),
      `link set ${lan} up`,
    );
  }

  /** Starts the daemon and waits until it captures every LAN. */
  async start(): Promise<this> {
    await this.marpd.start(...this.lans);
    return this;
  }

  /** A host that is plugged in nowhere yet. */
  host(role: string, options: Partial<HostOptions> = {}): Host {
    return new Host(this.network, role, { address: '10.1.1.5/24', gateway: '10.1.1.1', ...options });
  }

  /** True when the remote host gets one echo from `ip` within the time. */
  reaches(ip: string, timeoutSeconds = 1): boolean {
    return this.remote.status('ping', '-n', '-q', '-c', '1', '-W', String(timeoutSeconds), ip) === 0;
  }

  /** Waits until the remote host reaches `ip`. */
  async reachable(ip: string, timeoutMs = 3000): Promise<void> {
    await waitFor(() => this.reaches(ip, 0.2), timeoutMs, `an echo from ${ip} at the remote host`);
  }
}
