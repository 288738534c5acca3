import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Link } from '../../src/mobility/events.js';
import type { LearnRule, Policy, ProveRule } from '../../src/mobility/policy.js';
import { type Ip, type Ipv4, type Mac, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../src/wire/arp.js';
import {
  Driver,
  type FrameKind,
  frameOf,
  GATEWAY,
  hostRoute,
  IPS,
  LAN0,
  LAN1,
  link,
  MACS,
  OUR_MAC,
  testPolicy,
  WAN,
} from './driver.js';
import { effort } from './effort.js';
import { record, replay } from './recorded.js';
import { assertCounts } from './steps.js';

/**
 * Random lives of a tracker whose surroundings change as much as its hosts: interfaces are renamed, deleted and made
 * again with another index, lose their addresses and carriers; the policy is reloaded; hosts become next hops; other
 * machines use gateway addresses; answers come late.
 */

/** Indices that an interface may have: the first two at the start. */
const INDICES = [LAN0, LAN1, 20, 21];
const NAMES = ['lan0', 'lan1', 'lan2', 'eth9'];
const KINDS: FrameKind[] = ['gratuitous', 'gratuitous-reply', 'request', 'reply', 'probe', 'rarp'];
const TIMES = [0, 0.5, 1, 5, 10, 19, 21, 50, 60, 200, 450, 500, 800, 1100, 2500, 6000, 16_000, 200_000];
const DELAYS = [0.4, 0.4, 30, 200, 700, 1500, 9000];
const COMMANDS = ['probe', 'clear', 'prepare', 'attach', 'detach'] as const;

type Numbers = readonly [op: number, a: number, b: number, c: number, d: number];

function pick<T>(from: readonly T[], n: number): T {
  return from[n % from.length] as T;
}

class Upheaval {
  readonly driver: Driver;
  private readonly present = new Map<number, Link>();
  policy: Policy;

  constructor(private readonly first: Policy) {
    this.policy = first;
    this.driver = new Driver(first);
    this.driver.boot();
    for (const index of [LAN0, LAN1]) this.present.set(index, link(index));
  }

  run([op, a, b, c, d]: Numbers): void {
    const { driver } = this;
    const ip = pick(IPS, a);
    const mac = pick(MACS, b);
    const iface = pick(INDICES, c);
    const kind = pick(KINDS, d);
    const ms = pick(TIMES, a + b * 7 + c * 3 + d);
    switch (op) {
      case 0:
      case 1:
      case 2:
        return this.frame(iface, frameOf(kind, mac, ip));
      case 3:
      case 4:
      case 5:
        for (const other of INDICES) driver.setAnswering(ip, mac, other, other === iface);
        return this.frame(iface, frameOf('gratuitous', mac, ip));
      case 6:
      case 7:
        return driver.setAnswering(ip, mac, iface, d % 2 === 0);
      case 8:
      case 9:
      case 10:
      case 11:
      case 12:
      case 13:
        return driver.advance(ms);
      case 14:
        return this.remote(ip, d % 2 === 0);
      case 15:
        this.remote(ip, true);
        driver.advance(pick([0, 5, 19, 21, 60], b));
        return this.remote(ip, false);
      case 16:
        return this.setLink(iface, { up: d % 3 !== 0, carrier: d % 4 !== 0 });
      case 17:
        return this.setLink(iface, { name: pick(NAMES, d) });
      case 18:
        return this.setLink(iface, { addresses: d % 2 === 0 ? [] : [pick(PREFIXES, a)] });
      case 19:
        return this.gone(iface);
      case 20:
        return void driver.handle({ kind: 'capture', iface, open: d % 3 !== 0 });
      case 21:
      case 22:
        return this.command(ip, mac, d, pick(NAMES, c));
      case 23:
        return this.reload(d, ip, mac);
      case 24:
        return void driver.delays.set(mac, pick(DELAYS, d));
      case 25:
        return void driver.handle({
          kind: d % 2 === 0 ? 'installed' : 'refused',
          ip,
          age: 'fresh',
          message: '',
        });
      case 26:
        return this.nextHop(ip, iface, d % 2 === 0);
      case 27:
        return this.asGateway(iface, mac, ip, d);
      case 28:
        return void driver.handle({ kind: 'neighbour', iface, ip, mac: d % 3 === 0 ? undefined : mac });
      case 29:
        return this.asks(iface, mac, ip, pick([...IPS, GATEWAY, parseIp('10.1.1.1') as Ipv4], d));
      case 30:
        return this.late(iface, mac, ip, d);
      case 31:
        return this.adoptOrRemember(ip, mac, iface, d);
      case 32:
        return this.port(iface, mac, d);
      default:
        driver.handle({ kind: 'routes-begin' });
        if (d % 2 === 0) this.remote(ip, true);
        return void driver.handle({ kind: 'routes-end' });
    }
  }

  private frame(iface: number, bytes: Uint8Array): void {
    this.driver.handle({ kind: 'frame', iface, bytes });
  }

  private remote(ip: Ip, present: boolean): void {
    const change = present ? 'add' : 'delete';
    this.driver.handle({ kind: 'route', change, route: hostRoute(ip), initial: false });
  }

  /** An interface that is not there is made; its name is free, or another one. */
  private setLink(index: number, change: Partial<Link>): void {
    const like = index >= 20 ? index - 10 : index;
    const old = this.present.get(index) ?? { ...link(like), index, name: `lan${like - LAN0}` };
    const next = { ...old, ...change };
    for (const other of this.present.values()) if (other.index !== index && other.name === next.name) return;
    this.present.set(index, next);
    this.driver.handle({ kind: 'link', link: next });
    this.driver.handle({ kind: 'capture', iface: index, open: true });
  }

  private gone(index: number): void {
    if (!this.present.delete(index)) return;
    this.driver.handle({ kind: 'capture', iface: index, open: false });
    this.driver.handle({ kind: 'link-gone', iface: index });
  }

  private command(ip: Ip, mac: Mac, d: number, dev: string): void {
    const name = pick(COMMANDS, d);
    const withMac = name === 'prepare' || d % 3 !== 0;
    const command =
      name === 'probe' || name === 'clear'
        ? { name, ip }
        : {
            name,
            ips: name === 'detach' && d % 4 === 0 ? [] : [ip],
            mac: withMac ? mac : (undefined as unknown as Mac),
            interface: dev,
          };
    const actions = this.driver.handle({ kind: 'command', token: 7, command });
    assert.equal(actions.filter((action) => action.kind === 'reply').length, 1, 'one reply per command');
  }

  private reload(d: number, ip: Ip, mac: Mac): void {
    const { first } = this;
    const changes: Policy[] = [
      first,
      { ...first, deny: [{ ip, length: 32 }] },
      { ...first, allow: [parsePrefix('10.9.9.0/24') as Prefix] },
      { ...first, bindings: new Map([[ip, mac]]) },
      { ...first, subnets: [], allow: [parsePrefix('10.0.0.0/8') as Prefix] },
      { ...first, interfaces: first.interfaces.map((rule) => ({ ...rule, learn: 'all' })) },
      { ...first, interfaces: first.interfaces.map((rule) => ({ ...rule, learn: 'foreign', maxHosts: 1 })) },
      { ...first, subnets: [{ prefix: { ip, length: 32 }, gateways: [ip] }, ...first.subnets] },
      { ...first, timers: { ...first.timers, rememberMs: 0, reprobeIntervalMs: Number.POSITIVE_INFINITY } },
    ];
    this.policy = pick(changes, d);
    this.driver.setPolicy(this.policy);
  }

  private nextHop(via: Ip, iface: number, present: boolean): void {
    const prefix = parsePrefix('172.16.0.0/16') as Prefix;
    const route = { ...hostRoute(via), prefix, via, iface };
    this.driver.handle({ kind: 'route', change: present ? 'add' : 'delete', route, initial: false });
  }

  /** Another machine says that it has a gateway address, and goes on saying so or not. */
  private asGateway(iface: number, mac: Mac, ip: Ipv4, d: number): void {
    const gateway = ((ip & 0xffffff00) | 1) as Ipv4;
    this.driver.setAnswering(gateway, mac, iface, d % 2 === 0);
    this.frame(iface, frameOf(pick(KINDS, d), mac, gateway));
  }

  private asks(iface: number, mac: Mac, ip: Ipv4, target: Ipv4): void {
    const broadcast = 0xffffffffffff as Mac;
    const asked = {
      destination: broadcast,
      targetMac: 0 as Mac,
      targetIp: target,
      source: mac,
      senderMac: mac,
    };
    this.frame(iface, encodeArp({ ...asked, opcode: ARP_REQUEST, senderIp: ip }));
  }

  /** An answer to whatever was asked, from any place. */
  private late(iface: number, mac: Mac, ip: Ipv4, d: number): void {
    const own = OUR_MAC[LAN0 + (iface % 2)] as Mac;
    const targetIp = parseIp(pick(['10.9.9.1', '10.1.1.1', '10.2.2.1', '0.0.0.0', '10.255.0.1'], d)) as Ipv4;
    const answer = { destination: own, source: mac, senderMac: mac, senderIp: ip, targetMac: own, targetIp };
    this.frame(iface, encodeArp({ ...answer, opcode: ARP_REPLY }));
  }

  private adoptOrRemember(ip: Ip, mac: Mac, iface: number, d: number): void {
    const name = pick(NAMES, d);
    if (d % 3 === 0) {
      // Only at the start, so nothing is held yet.
      if (this.driver.router.host(ip)?.claimed !== true)
        this.driver.handle({ kind: 'adopt', ip, iface, mac, age: 'settled' });
    } else this.driver.handle({ kind: 'remember', memories: [{ ip, mac, interface: name, reason: '' }] });
  }

  private port(bridge: number, mac: Mac, d: number): void {
    const port = 40 + (d % 2);
    if (d % 3 === 0) this.driver.handle({ kind: 'fdb', bridge, mac, port: d % 2 === 0 ? undefined : port });
    else {
      const state = { up: d % 2 === 0, carrier: true, master: d % 5 === 0 ? undefined : bridge };
      const tap = {
        ...link(WAN),
        ...state,
        index: port,
        name: `tap${port}`,
        addresses: [],
        mac: port as Mac,
      };
      this.driver.handle({ kind: 'link', link: tap });
    }
  }

  /** Everything falls silent: what is held is given up, nothing is being proven, nothing is due in the past. */
  end(): void {
    const { driver } = this;
    driver.alive.clear();
    for (const ip of IPS) this.remote(ip, false);
    for (const { index } of [...this.present.values()]) this.setLink(index, { up: true, carrier: true });
    driver.advance(90_000);
    for (let i = 0; i < 20 && driver.claims() > 0; i++) driver.advance(100);
    assertCounts(driver);
    assert.equal(driver.claims(), 0, 'every claim is withdrawn when evidence stops');
    const proving = [...driver.router.hosts()].filter(([, { state, asking, proof }]) => {
      if (state === 'unknown') return proof.deferred.length === 0 && !asking;
      return state === 'proving' && !asking;
    });
    assert.deepEqual(proving, [], 'nobody is being proven for ever');
  }
}

const PREFIXES = ['10.1.1.1/24', '10.2.2.1/24', '10.9.9.1/24', '10.9.9.2/24', '10.1.1.5/24'].map(
  (text) => parsePrefix(text) as Prefix,
);

const numbers = fc.tuple(
  fc.nat({ max: 33 }),
  fc.nat({ max: 5 }),
  fc.nat({ max: 3 }),
  fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 1 }) }, { weight: 1, arbitrary: fc.nat({ max: 3 }) }),
  fc.nat({ max: 29 }),
);

describe('random lives of a tracker whose surroundings change', () => {
  for (const prove of ['before', 'after', 'never'] satisfies ProveRule[]) {
    for (const learn of ['foreign', 'all'] satisfies LearnRule[]) {
      it(`prove = ${prove}, learn = ${learn}: it never throws, and comes to rest`, () => {
        fc.assert(
          fc.property(fc.array(numbers, { maxLength: 60, size: 'max' }), (life) => {
            const upheaval = new Upheaval(testPolicy({ prove, learn }));
            try {
              for (const step of life) upheaval.run(step);
              upheaval.end();
            } catch (error) {
              const trace = upheaval.driver.trace.slice(-60).join('\n');
              throw new Error(`${(error as Error).message}\n${trace}`, { cause: error });
            }
          }),
          { ...effort(150), includeErrorInReport: true },
        );
      });
    }
  }
});

describe('a recording of such a life', () => {
  it('is replayed without a difference', () => {
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 60, size: 'max' }), (life) => {
        const upheaval = new Upheaval(testPolicy());
        const file = record(upheaval.driver.router, upheaval.driver.policy, false, upheaval.driver.now);
        for (const step of life) upheaval.run(step);
        upheaval.end();
        const { differences, inputs } = replay(file());
        assert.deepEqual(differences, []);
        assert.ok(inputs >= life.length / 4);
      }),
      { ...effort(40), includeErrorInReport: true },
    );
  });

  for (const prove of ['before', 'after', 'never'] satisfies ProveRule[])
    it(`prove = ${prove}: is replayed without a difference when it begins in the middle of the life`, () => {
      const life = fc.array(numbers, { minLength: 20, maxLength: 60, size: 'max' });
      fc.assert(
        fc.property(life, life, (before, after) => {
          const upheaval = new Upheaval(testPolicy({ prove }));
          for (const step of before) upheaval.run(step);
          const file = record(upheaval.driver.router, upheaval.policy, false, upheaval.driver.now);
          for (const step of after) upheaval.run(step);
          upheaval.end();
          assert.deepEqual(replay(file()).differences, []);
        }),
        { ...effort(40), includeErrorInReport: true },
      );
    });
});
