import assert from 'node:assert/strict';
import { Noise, type StormKind } from '../../bench/instruments.js';
import { treeOf } from '../../bench/processes.js';
import { Frames, type Host, macFor } from '../kit/host.js';
import { SOAK } from '../kit/lab-test.js';
import { PROTOCOL } from '../kit/marpd.js';
import type { Lab } from '../kit/namespace.js';
import { commandLine, signalIfAlive } from '../kit/processes.js';
import { pause, waitFor } from '../kit/program.js';
import { REAL_SETTLE, SUBNETS, Site } from '../kit/site.js';
import { atRest } from './account.js';
import { Attacker } from './attacker.js';
import { CALM_MS, IS_SHORT } from './duration.js';

const TAPS = 8;
const CROWD = 10;
const ROAMING = '10.3.3';
const MOVERS = [2, 3, 4].map((n) => `${ROAMING}.${n}`);
const BOUND = [50, 51, 52, 53, 54].map((n) => `${ROAMING}.${n}`);
const STORMS: readonly StormKind[] = ['random', 'sender', 'repeat', 'malformed'];
/** For so long the old place of a host may object to its new one. */
const OBJECTION_MS = 1000;
const STALL_MS = SOAK ? 20_000 : 3000;

/** A site under all that can happen to it, and the truth of where each host is. */
export class Chaos {
  /** Where each living host is. */
  readonly places = new Map<string, string>();
  readonly done = new Map<string, number>();
  readonly #guests = new Map<string, { readonly ip: string; readonly frames: Frames }>();
  readonly #foreign = new Set<string>();
  #storm: Noise | undefined;
  /** The log is not read. */
  #deafUntil = 0;

  private constructor(
    readonly site: Site,
    readonly random: () => number,
    readonly movers: readonly Host[],
    readonly crowd: Frames,
    readonly crowdHost: Host,
    readonly attackers: readonly Attacker[],
  ) {}

  static async start(lab: Lab, random: () => number): Promise<Chaos> {
    const site = new Site(lab, {
      config: {
        router: REAL_SETTLE,
        interface: [{ name: 'lan0' }, { name: 'lan1' }, { name: 'br0' }, { name: 'tap*' }],
        subnet: [...SUBNETS, { prefix: `${ROAMING}.0/24`, gateway: `${ROAMING}.1` }],
        // Addresses that matter belong to one MAC. The others are protected by their owner's answers alone.
        policy: { bind: [...MOVERS, ...BOUND].map((ip) => ({ ip, mac: macFor(ip) })) },
        timers: { keepalive: '1s' },
        // A flooded interface keeps its own child for a minute: too long for a short run to see it go.
        ...(IS_SHORT ? { capture: { flood_frames_per_second: 10_000_000 } } : {}),
      },
    });
    site.router.ip(
      'link add br0 address 02:bb:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link set br0 up',
      'route add 198.51.100.0/24 via 192.0.2.2 proto static',
      'route add 198.51.100.7/32 via 192.0.2.2 proto 188 metric 20',
      'neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev up0 nud permanent',
    );
    await site.start();
    const movers = MOVERS.map((ip, n) =>
      site.host(`mover${n}`, { address: `${ip}/24`, gateway: `${ROAMING}.1` }),
    );
    const crowdHost = site.host('crowd', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
    crowdHost.cable.plug('lan1');
    await crowdHost.carrier();
    const crowd = await crowdHost.frames();
    crowd.answer(`${ROAMING}.50`, CROWD);
    const attackers = await Promise.all(site.lans.map((lan) => Attacker.start(site, lan, random)));
    const chaos = new Chaos(site, random, movers, crowd, crowdHost, attackers);
    for (let i = 0; i < CROWD; i++) chaos.places.set(`${ROAMING}.${50 + i}`, 'lan1');
    for (const mover of movers) await chaos.#move(mover);
    return chaos;
  }

  async turn(): Promise<void> {
    const [name, deed] = this.#pick(this.#deeds);
    await deed();
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
    for (const attacker of this.attackers) attacker.endWhenOver();
    if (performance.now() > this.#deafUntil) this.#readLog();
    await pause(this.random() * 60);
  }

  readonly #deeds: readonly (readonly [string, () => void | Promise<void>])[] = [
    ['create', () => this.#create()],
    ['create', () => this.#create()],
    ['delete', () => this.#delete()],
    ['admin flap', () => this.#adminFlap()],
    ['carrier flap', () => this.#carrierFlap()],
    ['storm', () => this.#startStorm()],
    ['kill capture', () => this.#kill(/node.*capture|capture.*child/)],
    ['kill ip -batch', () => this.#kill(/^ip\b.*-batch/)],
    ['kill monitor', () => this.#kill(/^(ip|bridge)\b.*monitor/)],
    ['move', () => this.#move(this.#pick(this.movers))],
    ['move', () => this.#move(this.#pick(this.movers))],
    ['bridge port', () => this.#bridgePort()],
    ['read', () => this.#read()],
    ['reload', () => void process.kill(this.site.marpd.pid, 'SIGHUP')],
    ['foreign', () => this.#comeAndGo()],
    ['attack', () => this.#attack()],
    ['attack', () => this.#attack()],
    ['attack', () => this.#attack()],
    ['stall', () => this.#stall()],
    ['full log', () => this.#fillLog()],
    ['lose routes', () => this.#loseRoutes()],
  ];

  /** The chaos ends; the guests that come and go are gone, and the daemon has seen to the last flap and kill. */
  async calm(): Promise<void> {
    if (this.#storm?.running) await this.#storm.rate();
    for (const attacker of this.attackers) attacker.end();
    this.#readLog();
    for (const name of [...this.#guests.keys()]) await this.#end(name);
    if (this.#foreign.size > 0)
      this.site.router.ip(...[...this.#foreign].map((line) => line.replace('add', 'del')));
    this.#foreign.clear();
    await this.site.marpd.captures('lan0', CALM_MS);
    await this.site.marpd.captures('lan1', CALM_MS);
    await atRest(this.site.marpd.pid);
  }

  /**
   * Attackers that stay: each answers for every host of another interface, as a forger or as its clone. Returns how long
   * each host was not served meanwhile, ms.
   */
  async besiege(ms: number): Promise<Map<string, number>> {
    await waitFor(
      () => this.#areIncumbents(),
      CALM_MS,
      'every old place to have lost its right to object',
      100,
    );
    const unserved = new Map<string, number>();
    const end = performance.now() + ms;
    let sampledAt = performance.now();
    const victims = [...this.places];
    for (const attacker of this.attackers)
      for (const [ip, dev] of victims)
        if (dev !== attacker.lan) attacker.impersonate(ip, this.random() < 0.5);
    while (performance.now() < end) {
      for (const attacker of this.attackers) attacker.announce();
      await pause(50 + this.random() * 150);
      const passed = performance.now() - sampledAt;
      sampledAt += passed;
      const routes = this.site.marpd.routes();
      for (const [ip, dev] of this.places) {
        const own = routes.filter(({ dst }) => dst === ip);
        if (own.length === 0 || own.some((route) => route.dev !== dev))
          unserved.set(ip, (unserved.get(ip) ?? 0) + passed);
      }
    }
    return unserved;
  }

  /** A host that has just displaced an attacker may be contested by it for a while (design.md 3.3). */
  async #areIncumbents(): Promise<boolean> {
    const hosts = await Promise.all([...this.places.keys()].map((ip) => this.site.marpd.ctl.host(ip)));
    return hosts.every((host) => host?.state === 'settled' && host.sinceMs > OBJECTION_MS);
  }

  /** Whoever is left says a word. */
  speak(): void {
    this.crowd.burst(`${ROAMING}.50`, CROWD);
    for (const { ip, frames } of this.#guests.values()) frames.gratuitous(ip, macFor(ip));
    for (const mover of this.movers)
      void mover.frames().then((frames) => frames.gratuitous(mover.ip, mover.mac));
  }

  /** How the kernel differs from the truth, one sentence each. */
  differences(): string[] {
    const { marpd } = this.site;
    const routed = new Map<string, Set<string>>();
    for (const { dst, dev } of marpd.routes()) routed.set(dst, (routed.get(dst) ?? new Set()).add(dev));
    const entries = marpd.neighbours().filter((entry) => 'extern_learn' in entry);
    const found: string[] = [];
    for (const [ip, dev] of this.places) {
      const devs = [...(routed.get(ip) ?? [])];
      if (devs.length !== 1 || devs[0] !== dev)
        found.push(`${ip} is on ${dev}, routed to ${devs.join(' and ')}`);
      if (!entries.some((entry) => entry.dst === ip && entry.dev === dev && entry.lladdr === macFor(ip)))
        found.push(`${ip} has no neighbour entry on ${dev}`);
    }
    for (const ip of routed.keys()) if (!this.places.has(ip)) found.push(`${ip} is gone and routed`);
    for (const { dst, dev } of entries)
      if (this.places.get(dst) !== dev) found.push(`${dst} has a neighbour entry on ${dev} and is not there`);
    return found;
  }

  async #create(): Promise<void> {
    const free = Array.from({ length: TAPS }, (_, i) => i).filter((i) => !this.#guests.has(`tap${i}`));
    if (free.length === 0) return;
    const number = this.#pick(free);
    await this.#begin(`tap${number}`, `${ROAMING}.${100 + number}`, `tap${number}`);
  }

  async #delete(): Promise<void> {
    const taps = [...this.#guests.keys()].filter((name) => name.startsWith('tap'));
    if (taps.length > 0) await this.#end(this.#pick(taps));
  }

  async #bridgePort(): Promise<void> {
    if (this.#guests.has('port0')) return this.#end('port0');
    await this.#begin('port0', `${ROAMING}.200`, 'br0');
  }

  async #begin(name: string, ip: string, dev: string): Promise<void> {
    const frames = await Frames.guest(this.site.router, name);
    if (dev !== name) this.site.router.ip(`link set ${name} master ${dev}`);
    this.#guests.set(name, { ip, frames });
    this.places.set(ip, dev);
    frames.answer(ip);
    await pause(50);
    frames.gratuitous(ip, macFor(ip));
  }

  async #end(name: string): Promise<void> {
    const guest = this.#guests.get(name);
    if (guest === undefined) return;
    this.#guests.delete(name);
    this.places.delete(guest.ip);
    await guest.frames.program.stop('SIGKILL');
  }

  async #adminFlap(): Promise<void> {
    const iface = this.#pick(this.site.lans);
    this.site.router.ip(`link set ${iface} down`);
    await pause(this.random() * 100);
    this.site.router.ip(`link set ${iface} up`);
  }

  async #carrierFlap(): Promise<void> {
    const port = `router-${this.#pick(this.site.lans)}`;
    this.site.network.namespace.ip(`link set ${port} down`);
    await pause(this.random() * 300);
    this.site.network.namespace.ip(`link set ${port} up`);
  }

  async #startStorm(): Promise<void> {
    if (this.#storm?.running) return;
    const port = { crowd: this.crowdHost.namespace, iface: 'eth0', router: this.site.router };
    this.#storm = await Noise.storm(port, this.#pick(STORMS), 50_000, 500 + this.random() * 1500);
  }

  #attack(): void {
    const [ip] = this.#pick([...this.places]);
    this.#pick(this.attackers).attack(ip, 300 + this.random() * 3000);
  }

  /** A debugger, a freezer, a suspended machine. */
  async #stall(): Promise<void> {
    const { pid } = this.site.marpd;
    process.kill(pid, 'SIGSTOP');
    await pause(this.random() ** 2 * STALL_MS);
    process.kill(pid, 'SIGCONT');
  }

  /** Nobody reads its standard output: a full disk, a journal that hangs. */
  #fillLog(): void {
    this.site.marpd.program?.child.stdout?.pause();
    this.#deafUntil = performance.now() + 500 + this.random() * 3000;
  }

  #readLog(): void {
    this.site.marpd.program?.child.stdout?.resume();
  }

  #loseRoutes(): void {
    if (this.random() < 0.5) this.site.router.ip(`route flush proto ${PROTOCOL}`);
    else this.site.router.sysctl({ 'ipv4.ip_forward': 0 });
  }

  #kill(pattern: RegExp, signal: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): void {
    const children = treeOf(this.site.marpd.pid)
      .slice(1)
      .filter((pid) => pattern.test(commandLine(pid)));
    if (children.length === 0) return; // killed just now, and not yet replaced
    signalIfAlive(this.#pick(children), signal);
  }

  async #move(mover: Host): Promise<void> {
    const lan = this.places.get(mover.ip) === 'lan0' ? 'lan1' : 'lan0';
    this.places.set(mover.ip, lan);
    await mover.plug(lan, 'request', this.random() < 0.5);
  }

  async #read(): Promise<void> {
    const { ctl } = this.site.marpd;
    assert.ok((await ctl.status()) !== undefined);
    assert.equal((await ctl.exchange('GET', '/v1/hosts?limit=100')).status, 200);
    assert.equal((await ctl.exchange('GET', '/metrics')).status, 200);
  }

  #comeAndGo(): void {
    const number = 10 + Math.floor(this.random() * 20);
    const lines = [
      `route add 198.51.100.${number}/32 via 192.0.2.2 proto static`,
      `neigh add 192.0.2.${number} lladdr 02:00:00:00:01:${number} dev up0 nud permanent`,
    ];
    for (const line of lines) {
      const there = this.#foreign.has(line);
      this.site.router.ip(there ? line.replace('add', 'del') : line);
      if (there) this.#foreign.delete(line);
      else this.#foreign.add(line);
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)] as T;
  }
}
