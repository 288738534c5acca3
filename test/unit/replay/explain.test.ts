import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { type TestContext, describe, it } from 'node:test';
import { explain, type ExplainOptions } from '../../../src/cli/explain.js';
import { run } from '../../../src/ctl.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { parseRoutes } from '../../../src/replay/foreign/assumptions.js';
import { differencesOf } from '../../../src/replay/differences.js';
import { Recorder } from '../../../src/replay/recorder.js';
import { type Ipv4, type Mac, MAC_BROADCAST, MAC_ZERO, formatIp } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../../src/wire/arp.js';
import { CaptureFileReader } from '../../../src/wire/pcap/capture-file.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../../src/wire/pcap/pcapng.js';
import { Driver, IPS, LAN0, MACS, frameOf, testPolicy, link as trackerLink } from '../../property/driver.js';
import { record, replay } from '../../property/recorded.js';
import { Crowd } from '../../property/crowd.js';
import { ip, link } from '../mobility/small-router.js';

const ROUTER: Record<string, Mac> = { lan0: 0x02aa00000000 as Mac, lan1: 0x02aa00000001 as Mac };
const HOST = 0x02000a010105 as Mac;
const LINKS = ['lan0,02:aa:00:00:00:00,10.1.1.1/24', 'lan1,02:aa:00:00:00:01,10.2.2.1/24'];
const START_NS = 1_796_000_000_000_000_000n;

interface Sent {
  readonly ms: number;
  readonly on: string;
  readonly bytes: Uint8Array;
}

const asks = (ms: number, on: string, mac: Mac, from: string, target: string, to = MAC_BROADCAST): Sent => {
  const pair = { senderMac: mac, senderIp: ip(from), targetMac: MAC_ZERO, targetIp: ip(target) };
  return { ms, on, bytes: encodeArp({ destination: to, source: mac, opcode: ARP_REQUEST, ...pair }) };
};
const answers = (ms: number, on: string, mac: Mac, from: string, to: Mac, target: string): Sent => {
  const pair = { senderMac: mac, senderIp: ip(from), targetMac: to, targetIp: ip(target) };
  return { ms, on, bytes: encodeArp({ destination: to, source: mac, opcode: ARP_REPLY, ...pair }) };
};

function captureOf(frames: readonly Sent[]): Uint8Array {
  const names = [...new Set(frames.map(({ on }) => on))];
  return Buffer.concat([
    sectionHeader({ application: 'test' }),
    ...names.map((name) => interfaceDescription({ name })),
    ...frames.map(({ ms, on, bytes }) =>
      enhancedPacket({ interface: names.indexOf(on), timeNs: START_NS + BigInt(ms * 1e6), bytes }),
    ),
  ]);
}

async function told(t: TestContext, frames: readonly Sent[], options: ExplainOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'marpd-explain-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'capture.pcapng');
  writeFileSync(path, captureOf(frames));
  let out = '';
  let err = '';
  await explain([path], options, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    stdin: Readable.from([]),
    version: '0',
  });
  return { out, err, folder };
}

describe('explain of captures that others made', () => {
  const visit = [
    asks(0, 'lan1', HOST, '10.1.1.5', '10.1.1.5'),
    // What the daemon sent, as tcpdump on the router shows it.
    asks(1, 'lan1', ROUTER.lan1 as Mac, '10.1.1.1', '10.1.1.5', HOST),
    answers(1.5, 'lan1', HOST, '10.1.1.5', ROUTER.lan1 as Mac, '10.1.1.1'),
    asks(2000, 'lan0', 0x020000000099 as Mac, '10.1.1.9', '10.1.1.1'),
  ];

  it('a visitor is proven by its recorded answer, claimed and settled, at the times of the stamps', async (t) => {
    const { out, err } = await told(t, visit, { links: LINKS, json: true });
    const records = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const steps = records.filter(({ event, ip: of }) => event === 'transition' && of === '10.1.1.5');
    assert.deepEqual(
      steps.map(({ from, to, cause, time }) => [
        from,
        to,
        cause,
        Date.parse(time) - Number(START_NS / 1_000_000n),
      ]),
      [
        ['unknown', 'proving', 'sighting', 0],
        ['proving', 'fresh', 'proven', 1],
        ['fresh', 'settled', 'aged', 251],
      ],
    );
    const own = records.find(({ event, note }) => event === 'frame' && note !== null);
    assert.equal(own.note, 'sent as predicted, 1.0 ms later');
    assert.match(err, /1 frames sent as predicted, 0 not predicted/);
    assert.ok(
      records.some(({ event, change, ip: of }) => event === 'route' && change === 'add' && of === '10.1.1.5'),
    );
  });

  it('ends with the last packet: silence afterwards is no death', async (t) => {
    const { out } = await told(t, visit, { links: LINKS });
    assert.doesNotMatch(out, /keepalive|remembered/);
  });

  it('without an answer nothing is believed; with --assume-alive the host answers where it sent last', async (t) => {
    const frames = [visit[0] as Sent, asks(3000, 'lan1', 0x020000000099 as Mac, '10.2.2.9', '10.2.2.1')];
    const silent = await told(t, frames, { links: LINKS });
    assert.doesNotMatch(silent.out, /-> fresh/);
    const alive = await told(t, frames, { links: LINKS, assumeAlive: true });
    assert.match(alive.out, /assumed answer\n/);
    assert.match(alive.out, /10\.1\.1\.5 proving -> fresh on lan1/);
  });

  it('finds the router by who answers for the gateway, and says what it assumed', async (t) => {
    const frames = [
      asks(0, 'lan0', 0x020000000099 as Mac, '10.1.1.9', '10.1.1.1'),
      answers(0.2, 'lan0', ROUTER.lan0 as Mac, '10.1.1.1', 0x020000000099 as Mac, '10.1.1.9'),
    ];
    const { err } = await told(t, frames);
    assert.match(err, /assumed: --link lan0,02:aa:00:00:00:00,10\.1\.1\.1\/24\n/);
  });

  it('-w keeps every packet, with decisions as comments and route changes as journal entries', async (t) => {
    const out = join(mkdtempSync(join(tmpdir(), 'marpd-explain-')), 'out.pcapng');
    t.after(() => rmSync(join(out, '..'), { recursive: true }));
    await told(t, visit, { links: LINKS, write: out });
    const { readFileSync } = await import('node:fs');
    const items = [...new CaptureFileReader().read(readFileSync(out))];
    const packets = items.filter((item) => item.kind === 'packet');
    assert.deepEqual(
      packets.map(({ bytes }) => Uint8Array.from(bytes)),
      visit.map(({ bytes }) => bytes),
    );
    assert.ok(packets[2]?.comments.some((comment) => comment.includes('proving -> fresh on lan1')));
    const entries = items
      .filter((item) => item.kind === 'journal')
      .map(({ fields }) => fields.get('MESSAGE'));
    assert.ok(
      entries.some((text) => text?.startsWith('route + 10.1.1.5 dev lan1 (fresh)')),
      entries.join('\n'),
    );
  });

  it('--routes reads lines of ip monitor, at their local times, and passes over others', async (t) => {
    const log = [
      '1 10.255.0.0/30 dev lan1 table main proto 2 scope link src 10.255.0.1 metric 0',
      '[2026-11-29T10:00:00.250000] 1 10.1.1.5 via 10.2.2.9 dev lan1 table 254 proto 188 metric 20',
      '[2026-11-29T10:00:01.000000] Deleted 1 10.1.1.5 via 10.2.2.9 dev lan1 table 254 proto 188 metric 20',
      'nonsense',
    ].join('\n');
    const changes = parseRoutes(log, [link(7, 'lan1', ['10.2.2.1/24'])]);
    assert.deepEqual(
      changes.map(({ change, route }) => [change, formatIp(route.prefix.ip), route.iface]),
      [
        ['add', '10.1.1.5', 7],
        ['delete', '10.1.1.5', 7],
      ],
    );
    assert.equal((changes[1]?.timeNs ?? 0n) - (changes[0]?.timeNs ?? 0n), 750_000_000n);
    await t.test('times are local ones', () => {
      assert.equal(changes[0]?.timeNs, BigInt(Date.parse('2026-11-29T10:00:00')) * 1_000_000n + 250_000_000n);
    });
  });

  it('says in one sentence what is wrong with its arguments', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'marpd-explain-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const cooked = join(folder, 'any.pcap');
    const file = Buffer.alloc(24 + 16 + 20);
    file.writeUInt32LE(0xa1b2c3d4, 0);
    file.writeUInt32LE(276, 20);
    file.writeUInt32LE(20, 24 + 8);
    writeFileSync(cooked, file);
    const said = async (...argv: string[]) => {
      let err = '';
      const status = await run(['explain', ...argv], {
        out: () => {},
        err: (text) => {
          err += text;
        },
      });
      assert.equal(status, 2, err);
      return err;
    };
    assert.match(await said('/nonexistent.pcap'), /there is no such file/);
    assert.match(await said(cooked), /captured on "any", which keeps no destination MAC/);
    assert.match(await said(cooked, '--link', 'lan0,x'), /--link: "lan0,x" is not NAME,MAC,ADDRESS\/LENGTH/);
    assert.match(await said(), /FILE missing/);
  });
});

describe('a recording', () => {
  it('keeps for how long frames waited, on which a storm depends', () => {
    const crowd = new Crowd();
    const file = record(crowd.router, crowd.policy, false, crowd.now);
    for (let n = 0; n < 3000; n++) {
      crowd.says(n, LAN0, Crowd.mac(n), 2000);
      crowd.advance(1);
    }
    assert.equal(crowd.storms, 1);
    const { differences, inputs } = replay(file());
    assert.deepEqual(differences, []);
    assert.ok(inputs > 3000, `${inputs}`);
  });

  it('that begins in a storm is replayed without a difference', () => {
    const crowd = new Crowd();
    const say = (from: number, to: number) => {
      for (let n = from; n < to; n++) {
        crowd.says(n, LAN0, Crowd.mac(n), 2000);
        crowd.advance(1);
      }
    };
    say(0, 1500);
    const file = record(crowd.router, crowd.policy, false, crowd.now);
    say(1500, 4500);
    assert.equal(crowd.storms > 0, true);
    assert.deepEqual(replay(file()).differences, []);
  });

  it('of a host whose announcements the reader keeps back says so again when the host leaves', () => {
    const driver = new Driver(testPolicy({ role: 'gateway' }));
    driver.boot();
    const [host, mac] = [IPS[4] as Ipv4, MACS[0] as Mac];
    driver.setAnswering(host, mac, LAN0, true);
    for (let n = 0; n < 20; n++) {
      driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', mac, host) });
      driver.advance(50);
    }
    assert.ok(driver.router.host(host)?.suppressedUntil !== undefined, driver.trace.join('\n'));
    const file = record(driver.router, driver.policy, false, driver.now);
    driver.handle({ kind: 'link', link: { ...trackerLink(LAN0), carrier: false } });
    driver.advance(20_000);
    assert.deepEqual(replay(file()).differences, []);
  });

  it('of a large table loses nothing because its beginning is longer than what may wait for a reader', async () => {
    const crowd = new Crowd();
    for (let n = 0; n < 100; n++) crowd.says(n);
    crowd.advance(3000, 0.4);
    const recorder = new Recorder({
      application: 'marpd test',
      nameOf: (iface) => crowd.router.link(iface)?.name,
      beginning: () => ({ originMs: 0, now: crowd.now, policy: crowd.policy, ...crowd.router.seed() }),
      onActive: () => {},
      queueBytes: 10_000,
    });
    const chunks: Uint8Array[] = [];
    const stream = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        chunks.push(Uint8Array.from(chunk));
        done();
      },
    });
    const outlet = recorder.add(stream, {});
    assert.ok(outlet.bytes > 30_000, `${outlet.bytes}`);
    for (let n = 0; n < 5; n++) {
      const bytes = frameOf('gratuitous', Crowd.mac(n), Crowd.ip(n));
      const event = { kind: 'frame', iface: LAN0, bytes } as const;
      recorder.input(event, crowd.now, crowd.router.handle(event, crowd.now), undefined);
    }
    outlet.end();
    await new Promise((resolve) => stream.on('finish', resolve));
    const file = Buffer.concat(chunks);
    const items = [...new CaptureFileReader().read(file)];
    assert.equal(items.filter(({ kind }) => kind === 'section').length, 1);
    assert.equal(items.filter(({ kind }) => kind === 'packet').length, 5);
    assert.deepEqual(replay(file).differences, []);
  });

  it('one decision that is missing, more or otherwise is one difference, wherever it stands', () => {
    const recorded = ['a', 'b', 'c', 'd'];
    assert.deepEqual(differencesOf(recorded, recorded), []);
    assert.deepEqual(differencesOf(recorded, ['b', 'c', 'd']), ['recorded: a; now: nothing']);
    assert.deepEqual(differencesOf(['b', 'c'], ['b', 'x', 'c']), ['recorded: nothing; now: x']);
    assert.deepEqual(differencesOf(recorded, ['a', 'b', 'x', 'd']), ['recorded: c; now: x']);
    assert.deepEqual(differencesOf(['a', 'a'], ['a']), ['recorded: a; now: nothing']);
    assert.equal(differencesOf(['a', 'b'], ['b', 'a']).length, 1);
  });

  it('that a slow reader loses a part of goes on with a section that can be replayed', async () => {
    const { policy } = new Driver(testPolicy());
    const tracker = new HostTracker(policy);
    const active: boolean[] = [];
    const recorder = new Recorder({
      application: 'marpd test',
      nameOf: (iface) => tracker.link(iface)?.name,
      beginning: () => ({ originMs: 0, now: 5, policy, ...tracker.seed() }),
      onActive: (on) => active.push(on),
      queueBytes: 100_000,
    });
    const chunks: Uint8Array[] = [];
    const waiting: (() => void)[] = [];
    const stream = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        chunks.push(Uint8Array.from(chunk));
        waiting.push(done);
      },
    });
    const outlet = recorder.add(stream, { complete: true });
    const bytes = frameOf('gratuitous', MACS[0] as Mac, IPS[0] as never);
    const event = { kind: 'frame', iface: LAN0, bytes } as const;
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    // 400 kB that nobody reads.
    for (let i = 0; i < 1500; i++) {
      recorder.input(event, 5, tracker.handle(event, 5), undefined);
      if (i % 100 === 0) await turn();
    }
    await turn();
    for (let i = 0; i < 50; i++) {
      for (const done of waiting.splice(0)) done();
      await turn();
    }
    recorder.input(event, 6, tracker.handle(event, 6), undefined);
    recorder.input(event, 7, tracker.handle(event, 7), undefined);
    outlet.end();
    for (let i = 0; i < 10; i++) {
      for (const done of waiting.splice(0)) done();
      await turn();
    }
    const file = Buffer.concat(chunks);
    const sections = [...new CaptureFileReader().read(file)].filter((item) => item.kind === 'section');
    assert.equal(sections.length, 2);
    assert.match(sections[1]?.comments[0] ?? '', /was lost: the reader was too slow/);
    assert.deepEqual(replay(file).differences, []);
    assert.deepEqual(active, [true, false]);
  });
});
