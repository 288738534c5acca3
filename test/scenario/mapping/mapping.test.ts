import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seal } from '../../../src/mapping/authentication.js';
import { Keys } from '../../../src/mapping/keys.js';
import { LISP, type LispMessage, decodeLisp, encodeLisp, lispType } from '../../../src/wire/lisp/message.js';
import type { MappingRecord } from '../../../src/wire/lisp/record.js';
import { type Datagram, type Network, type Router, host, ip, site } from './network.js';

/** Stories of the mapping system, in virtual time. */

const H = '10.1.1.5';
const R1 = '10.255.0.1';
const R2 = '10.255.0.2';
const R3 = '10.255.0.3';
const MS = '10.255.0.9';

function decoded({ bytes }: Datagram): LispMessage {
  const message = decodeLisp(bytes);
  assert.ok(typeof message !== 'string', String(message));
  return message;
}

function recordOf(rloc: string | undefined, address = H, version = 1): MappingRecord {
  const flags = { isLocal: true, isProbed: false, isReachable: true };
  return {
    ttlMinutes: rloc === undefined ? 0 : 1440,
    action: 0,
    isAuthoritative: true,
    version,
    eid: { instance: 0, prefix: host(address) },
    locators: rloc === undefined ? [] : [{ rloc: ip(rloc), priority: 1, weight: 100, ...flags }],
  };
}

const count = (router: Router, reason: Parameters<Router['drops']['get']>[0]) =>
  router.drops.get(reason) ?? 0;
const events = (network: Network) =>
  [...network.routers.values()].flatMap(({ routeEvents }) => routeEvents).length;
const isPublication = (to: string) => (datagram: Datagram) =>
  datagram.to === ip(to) && lispType(datagram.bytes) === LISP.mapNotify;

describe('one move (RFC 9301 section 8, RFC 9437)', () => {
  it('is known at every router within milliseconds, and the old router withdraws nothing', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(10);
    assert.equal(network.owner(H), R1);
    assert.deepEqual(network.routesTo(H), { MS: R1, R1: undefined, R2: R1, R3: R1 });
    network.move(H, 'R2');
    network.run(5);
    assert.deepEqual(network.routesTo(H), { MS: R2, R1: R2, R2: undefined, R3: R2 });
    const before = network.sent.length;
    network.run(60_000);
    assert.equal(network.router('R1').claims.size, 0, 'R1 asked, and nobody answered');
    const registers = network.sent.slice(before).filter(({ from, bytes }) => {
      return from === ip(R1) && lispType(bytes) === LISP.mapRegister;
    });
    assert.deepEqual(registers, []);
    assert.deepEqual(network.routesTo(H), { MS: R2, R1: R2, R2: undefined, R3: R2 });
  });

  it('a host that leaves for good is withdrawn, and an IPv6 host is the same', () => {
    const network = site();
    network.move('2001:db8::5', 'R1');
    network.run(10);
    assert.equal(network.routesTo('2001:db8::5').R3, R1);
    network.places.delete('2001:db8::5');
    network.release(network.router('R1'), '2001:db8::5');
    network.run(10);
    assert.deepEqual(network.routesTo('2001:db8::5'), {
      MS: undefined,
      R1: undefined,
      R2: undefined,
      R3: undefined,
    });
    assert.equal(network.owner('2001:db8::5'), '');
  });

  it('10,000 hosts are registered in few datagrams, a few at a time, and none is lost', () => {
    const network = site();
    const r1 = network.router('R1');
    const count = 2000;
    for (let i = 0; i < count; i++)
      r1.node?.client.claim(host(`10.1.${1 + (i >> 8)}.${i & 255}`), 'fresh', network.now);
    const before = network.sent.length;
    r1.node?.tick(network.now);
    assert.equal(network.sent.length - before, 8);
    network.run(1000);
    assert.equal(network.router('MS').node?.server?.size, count);
    assert.equal(network.router('R3').routes.size, count);
    const registers = network.sent.slice(before).filter(({ bytes }) => lispType(bytes) === LISP.mapRegister);
    assert.equal(registers.length, count / 50);
  });
});

describe('a refresh is not a claim', () => {
  it('the Map-Notify to R1 is lost for 60 s and R1 refreshes: the mapping stays, for ten minutes', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    // R1 believes that it has the host: only the brain of the router could know, and it is not asked.
    network.places.set(H, 'R1 R2');
    network.isLost = isPublication(R1);
    network.claim(network.router('R2'), H);
    network.run(60_000);
    assert.equal(network.owner(H), R2);
    network.places.set(H, 'R2');
    network.isLost = () => false;
    const flaps = network.router('R3').routeEvents.length;
    network.run(600_000);
    assert.equal(network.owner(H), R2);
    assert.deepEqual(network.routesTo(H), { MS: R2, R1: R2, R2: undefined, R3: R2 });
    assert.equal(network.router('R3').routeEvents.length, flaps, 'no flap');
  });

  it('only the answer to the refresh arrives: it says who has it', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    network.places.set(H, 'R1 R2');
    // What is published to R1 is lost, for good; the answers to its own messages are not.
    const asked = new Set<bigint>();
    network.isLost = (datagram) => {
      if (datagram.from === ip(R1)) asked.add(decoded(datagram).nonce);
      return isPublication(R1)(datagram) && !asked.has(decoded(datagram).nonce);
    };
    network.claim(network.router('R2'), H);
    network.run(20_000);
    assert.equal(network.router('R1').node?.client.stateOf(host(H)), 'lost');
    assert.ok(count(network.router('MS'), 'displaced-refresh') > 0);
    assert.equal(network.owner(H), R2);
  });

  it('a new claim of the displaced router counts', () => {
    const network = site();
    for (const name of ['R1', 'R2', 'R1', 'R3', 'R1']) {
      network.move(H, name);
      network.run(200);
      assert.equal(network.owner(H), network.router(name).rloc === ip(R1) ? R1 : name === 'R2' ? R2 : R3);
    }
    assert.deepEqual(network.routesTo(H), { MS: R1, R1: undefined, R2: R1, R3: R1 });
  });
});

describe('nonces', () => {
  it('an acknowledgement is lost: a new nonce, and one publication', () => {
    const network = site();
    let lost = 0;
    network.isLost = (datagram) =>
      isPublication(R1)(datagram) && decoded(datagram).nonce < 1n << 62n && lost++ === 0;
    network.move(H, 'R1');
    network.run(3000);
    assert.equal(lost, 2);
    const registers = network.sent.filter(
      ({ from, bytes }) => from === ip(R1) && lispType(bytes) === LISP.mapRegister,
    );
    const withHost = registers
      .map(decoded)
      .filter((message) => 'records' in message && message.records.length > 0);
    assert.equal(withHost.length, 2);
    assert.ok((withHost[1]?.nonce ?? 0n) > (withHost[0]?.nonce ?? 0n));
    assert.deepEqual(network.router('R3').routeEvents, [`${H}/32 ${R1}`]);
  });

  it('a duplicate is acknowledged again and changes nothing; a replay after a move is dropped', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(10);
    const register = network.sent
      .filter(({ from, bytes }) => from === ip(R1) && lispType(bytes) === LISP.mapRegister)
      .at(-1) as Datagram;
    const before = network.sent.length;
    network.deliver(register);
    const [answer, ...more] = network.sent.slice(before);
    assert.equal(more.length, 0);
    assert.equal(decoded(answer as Datagram).nonce, decoded(register).nonce);
    network.move(H, 'R2');
    network.run(40);
    const [changes, after] = [events(network), network.sent.length];
    // R1 has sent nothing since, so that the server takes it for a duplicate: it is answered, and nothing else.
    network.deliver(register);
    network.run(100);
    assert.equal(events(network), changes);
    network.claim(network.router('R1'), '10.1.1.6');
    network.run(10);
    const all = events(network);
    network.deliver(register);
    network.run(100);
    assert.equal(count(network.router('MS'), 'old-nonce'), 1);
    assert.equal(events(network), all);
    assert.equal(network.owner(H), R2);
    assert.ok(after > before);
  });
});

describe('the map-server is away', () => {
  for (const forgets of [true, false]) {
    it(`a host moves R1 -> R2 -> R3 meanwhile; back ${forgets ? 'with nothing' : 'with its state'}`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const network = site({ seed });
        const unmoved = '10.1.1.77';
        network.move(unmoved, 'R1');
        network.move(H, 'R1');
        network.run(1000);
        network.kill(network.router('MS'), forgets);
        network.run(10_000);
        network.move(H, 'R2');
        network.run(2000);
        network.move(H, 'R3');
        network.run(8000);
        assert.ok(network.router('R2').alarms.includes('map-server-silent'));
        const before = network.router('R2').routeEvents.length;
        network.start('MS', MS, [MS]);
        network.run(7000);
        assert.equal(network.owner(H), R3, `seed ${seed}`);
        assert.deepEqual(network.routesTo(H), { MS: R3, R1: R3, R2: R3, R3: undefined }, `seed ${seed}`);
        const ofUnmoved = network
          .router('R2')
          .routeEvents.slice(before)
          .filter((event) => event.includes(unmoved));
        assert.deepEqual(ofUnmoved, [], 'traffic to the others never stops');
        network.run(300_000);
        assert.equal(network.routesTo(unmoved).R2, R1);
      }
    });
  }

  it('silent for an hour: everybody keeps forwarding', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    network.kill(network.router('MS'));
    network.run(3_600_000);
    assert.equal(network.routesTo(H).R2, R1);
  });

  it('a mapping that ended meanwhile ends a minute after it is back', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    network.kill(network.router('MS'), true);
    network.places.delete(H);
    network.run(300_000);
    network.start('MS', MS, [MS]);
    network.run(50_000);
    assert.equal(network.routesTo(H).R2, R1);
    network.run(30_000);
    assert.equal(network.routesTo(H).R2, undefined);
  });
});

describe('who may withdraw', () => {
  it('a TTL 0 of R1 after the register of R2, or of a third: ignored', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(10);
    network.move(H, 'R2');
    network.run(500);
    const keys = new Keys('1 secret');
    for (const [i, from] of [R1, R3].entries()) {
      const message = {
        type: LISP.mapRegister,
        nonce: (1n << 60n) + BigInt(i),
        isProxyReply: true,
        usesTtl: false,
        wantsNotify: true,
        records: [recordOf(undefined)],
        xtr: { id: `R${from.at(-1)}`.padEnd(16, '\0'), site: 1n },
      };
      network.deliver({ from: ip(from), to: ip(MS), bytes: seal(message, keys) });
    }
    network.run(100);
    assert.equal(count(network.router('MS'), 'not-owner'), 2);
    assert.equal(network.owner(H), R2);
    assert.equal(network.routesTo(H).R3, R2);
  });
});

describe('two living hosts with one address', () => {
  it('are published at most 10 times a second, and the last claim has it everywhere', () => {
    const network = site();
    network.places.set(H, 'R1');
    const before = network.sent.length;
    for (let i = 0; i < 100; i++) {
      network.router(i % 2 === 0 ? 'R1' : 'R2').claims.clear();
      network.router(i % 2 === 0 ? 'R2' : 'R1').node?.client.claim(host(H), 'fresh', network.now);
      network.run(10);
    }
    const published = network.sent.slice(before).filter(isPublication(R3)).map(decoded);
    const ofHost = published.filter(
      (message) => 'ttlMinutes' in (message.records[0] ?? {}) && message.records[0]?.eid.prefix.ip === ip(H),
    );
    assert.ok(ofHost.length >= 9 && ofHost.length <= 11, `${ofHost.length}`);
    network.claim(network.router('R1'), H);
    network.run(1000);
    assert.equal(network.owner(H), R1);
    assert.deepEqual(network.routesTo(H), { MS: R1, R1: undefined, R2: R1, R3: R1 });
  });
});

describe('what nobody vouches for', () => {
  const good = new Keys('1 secret');
  const notify = (nonce: bigint, ...records: readonly MappingRecord[]) => ({
    type: LISP.mapNotify,
    nonce,
    records,
  });
  const HIGH = (1n << 63n) + 5n;

  it('forged Map-Notifies change no route, and each has its reason', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    const r3 = network.router('R3');
    const before = events(network);
    const deliver = (bytes: Uint8Array, from = MS) => network.deliver({ from: ip(from), to: ip(R3), bytes });
    const none = encodeLisp({ ...notify(HIGH, recordOf(R2)), keyId: 1, algorithm: 0, macBytes: 0 });
    deliver(none);
    assert.equal(count(r3, 'bad-algorithm'), 1);
    deliver(seal(notify(HIGH, recordOf(R2)), new Keys('1 other')));
    assert.equal(count(r3, 'bad-mac'), 1);
    deliver(seal(notify(HIGH, recordOf(R2)), new Keys('7 secret')));
    assert.equal(count(r3, 'unknown-key'), 1);
    deliver(seal(notify(1n, recordOf(R2)), good));
    assert.equal(count(r3, 'old-nonce'), 1);
    deliver(seal(notify(HIGH, recordOf(R2)), good), '10.66.0.1');
    assert.equal(count(r3, 'unknown-server'), 1);
    deliver(seal(notify(HIGH, recordOf(R2, '192.0.2.1')), good));
    assert.equal(count(r3, 'foreign-prefix'), 1);
    deliver(encodeLisp({ type: LISP.mapReply, nonce: 4n, isProbe: false, records: [recordOf(R2)] }));
    assert.equal(count(r3, 'unasked'), 1);
    network.run(1000);
    assert.equal(events(network), before);
  });

  it('10,000 SMRs: one Map-Request per 3 s and EID (RFC 9301 section 6.1), and its answer counts', () => {
    const network = site();
    network.move(H, 'R1');
    network.run(1000);
    const before = network.sent.length;
    const smr = encodeLisp({
      type: LISP.mapRequest,
      nonce: 1n,
      isProbe: false,
      isSolicit: true,
      isSolicitInvoked: false,
      sourceEid: { instance: 0, ip: ip(H) },
      itrRlocs: [ip('10.66.0.1')],
      records: [{ eid: { instance: 0, prefix: host('10.1.9.9') }, subscribe: false }],
      xtr: undefined,
    });
    for (let i = 0; i < 10_000; i++) network.deliver({ from: ip('10.66.0.1'), to: ip(R3), bytes: smr });
    assert.equal(network.sent.length - before, 1);
    assert.equal(count(network.router('R3'), 'smr-limit'), 9999);
    network.run(100);
    assert.equal(network.routesTo(H).R3, R1);
  });

  it('what a key may not register, and who has none', () => {
    const network = site({
      scopes: new Map([[1, { rlocs: [R1, R2, R3, MS].map((rloc) => ({ ip: ip(rloc), length: 32 })) }]]),
    });
    const ms = network.router('MS');
    const register = (record: MappingRecord, from: string, keys = good) => {
      const flags = { isProxyReply: true, usesTtl: false, wantsNotify: true };
      const xtr = { id: 'X'.repeat(16), site: 1n };
      const nonce = (1n << 60n) + BigInt(network.sent.length);
      const message = { type: LISP.mapRegister, nonce, ...flags, records: [record], xtr };
      const before = network.sent.length;
      network.deliver({ from: ip(from), to: ip(MS), bytes: seal(message, keys) });
      return network.sent.length - before;
    };
    assert.equal(register(recordOf(R1, '192.0.2.1'), R1), 1, 'answered without the record');
    assert.equal(count(ms, 'foreign-prefix'), 1);
    assert.equal(register(recordOf('10.66.0.1'), R1), 1);
    assert.equal(count(ms, 'foreign-rloc'), 1);
    assert.equal(register(recordOf(R1), '10.66.0.1'), 0);
    assert.equal(count(ms, 'foreign-rloc'), 2);
    assert.equal(register(recordOf(R1), R1, new Keys('1 wrong')), 0);
    assert.equal(count(ms, 'bad-mac'), 1);
    const question = encodeLisp({
      type: LISP.mapRequest,
      nonce: 1n,
      isProbe: false,
      isSolicit: false,
      isSolicitInvoked: false,
      sourceEid: undefined,
      itrRlocs: [ip('10.66.0.1')],
      records: [{ eid: { instance: 0, prefix: host(H) }, subscribe: true }],
      xtr: { id: 'X'.repeat(16), site: 1n },
    });
    const before = network.sent.length;
    network.deliver({ from: ip('10.66.0.1'), to: ip(MS), bytes: question });
    assert.equal(network.sent.length, before, 'no amplification');
    assert.equal(count(ms, 'rloc-without-key'), 1);
  });

  it('another key than the server has: an alarm, and no registration', () => {
    const network = site();
    const stranger = network.start('R4', '10.255.0.4', [MS], '1 other');
    network.move(H, 'R4');
    network.run(10_000);
    assert.equal(network.owner(H), '');
    assert.ok(stranger.alarms.includes('map-server-silent'));
    assert.ok(count(network.router('MS'), 'bad-mac') > 0);
  });
});

describe('a router is killed and started again', () => {
  it('its claims are adopted, its nonces go on, nothing moves (RFC 9301 section 5.6)', () => {
    const network = site();
    network.move(H, 'R1');
    network.move('10.1.1.6', 'R1');
    network.run(5000);
    const r1 = network.router('R1');
    network.kill(r1);
    network.run(1000);
    network.move('10.1.1.6', 'R2');
    network.run(1000);
    const before = network.router('R3').routeEvents.length;
    network.start('R1', R1, [MS]);
    for (const { prefix } of r1.claims.values()) r1.node?.client.claim(prefix, 'settled', network.now);
    network.run(60_000);
    assert.equal(network.owner(H), R1);
    assert.equal(network.owner('10.1.1.6'), R2, 'not taken back');
    assert.equal(network.router('R3').routeEvents.length, before);
    assert.equal(count(network.router('MS'), 'old-nonce'), 0);
  });
});
