import assert from 'node:assert/strict';
import { createReadStream, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { SNAP_BYTES } from '../../src/capture/protocol.js';
import { parseConfig } from '../../src/config/config.js';
import type { Action, IfIndex } from '../../src/mobility/events.js';
import { HostTracker } from '../../src/mobility/tracker.js';
import {
  CaptureFileError,
  CaptureFileReader,
  type CapturedPacket,
  LINK_TYPE_ETHERNET,
} from '../../src/wire/pcap/capture-file.js';
import { type Ip, MAC_BROADCAST, formatIp } from '../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp } from '../../src/wire/arp.js';
import { ETHER_TYPE_IPV4, etherTypeOf } from '../../src/wire/ethernet.js';
import { Invariants } from '../scenario/invariants.js';
import { LAN0, LAN1, WAN, link } from './driver.js';
import { retainedBytes } from './retained.js';

/**
 * Captures of others through the whole core: every .pcap, .pcapng and .cap below MARPD_CAPTURES, or those in captures/.
 * Whoever was heard in a file answers our probes, at the interface where it was heard last.
 */

const FOLDER = resolve(process.env.MARPD_CAPTURES ?? join(import.meta.dirname, 'captures'));
const ANSWER_MS = 0.4;
/** A gap in a file; longer ones only make the keepalives of living hosts take longer to play. */
const MOST_GAP_MS = 30_000;
const HOSTS = 500;
const REMEMBERED = 200;
const GROWTH_BYTES = 4 << 20;

const { policy } = parseConfig(
  `[[interface]]\nname = "lan*"\n[policy]\nallow = ["0.0.0.0/0"]\n` +
    `[policy.limits]\nmax_hosts = ${HOSTS}\nmax_remembered = ${REMEMBERED}\n`,
);

/** The tracker, whose interfaces are played by those of capture files. */
class Replay {
  readonly outcomes = new Map<string, number>();
  readonly #tracker = new HostTracker(policy);
  readonly #invariants = new Invariants('replay', policy);
  #now = 1000;
  #lastStampMs: number | undefined;
  /** By address: who said so last, and where. */
  readonly #alive = new Map<Ip, { readonly mac: number; readonly iface: IfIndex }>();
  #answers: { readonly at: number; readonly iface: IfIndex; readonly bytes: Uint8Array }[] = [];
  /** Addresses of newcomers whose frame waits for its turn. */
  readonly #waiting = new Set<Ip>();

  constructor() {
    for (const index of [WAN, LAN0, LAN1]) this.#handle({ kind: 'link', link: link(index) });
    for (const iface of [LAN0, LAN1]) this.#handle({ kind: 'capture', iface, open: true });
  }

  get hosts(): number {
    return [...this.#tracker.hosts()].length;
  }

  begin(): void {
    this.#lastStampMs = undefined;
    this.#alive.clear();
  }

  /** Its hosts are gone: what waited has had its turn by then. */
  end(): void {
    this.#advance(this.#now + 60_000);
    assert.deepEqual([...this.#waiting].map(formatIp), [], 'frames that led to nothing, without a reason');
  }

  packet(packet: CapturedPacket): void {
    if (packet.interface.linkType !== LINK_TYPE_ETHERNET) return this.#count('other link type');
    const stampMs = Number(packet.timeNs / 1000n) / 1000;
    const gap = this.#lastStampMs === undefined ? 0 : stampMs - this.#lastStampMs;
    this.#lastStampMs = stampMs;
    this.#advance(this.#now + Math.min(Math.max(gap, 0), MOST_GAP_MS));
    const iface = packet.interface.id % 2 === 0 ? LAN0 : LAN1;
    // As the reader passes it on.
    const bytes = packet.bytes.subarray(0, SNAP_BYTES);
    if (etherTypeOf(bytes) === ETHER_TYPE_IPV4) this.#handle({ kind: 'misdirected-packet', iface, bytes });
    this.#frame(iface, bytes);
  }

  #frame(iface: IfIndex, bytes: Uint8Array): void {
    const arp = decodeArp(bytes);
    if (typeof arp !== 'string') this.#alive.set(arp.senderIp, { mac: arp.senderMac, iface });
    const actions = this.#handle({ kind: 'frame', iface, bytes });
    const drop = actions.find((action) => action.kind === 'drop');
    if (drop !== undefined) return this.#count(drop.reason);
    const evidence = actions.find((action) => action.kind === 'evidence');
    if (evidence !== undefined) return this.#count(`evidence: ${evidence.evidence}`);
    if (actions.length > 0) return this.#count('acted on');
    assert.ok(typeof arp !== 'string', 'no outcome of a frame that is no ARP');
    // An ACD probe is about the address that it asks for.
    const ip = arp.senderIp === 0 ? arp.targetIp : arp.senderIp;
    const host = this.#tracker.host(ip);
    if (host?.isAt(iface, arp.senderMac) === true) return this.#count('refresh');
    if (host !== undefined) return this.#count('asked already');
    this.#count('waits');
    this.#waiting.add(ip);
  }

  #advance(end: number): void {
    for (;;) {
      const answer = this.#answers[0];
      const deadline = this.#tracker.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const next = Math.min(answer?.at ?? Number.POSITIVE_INFINITY, deadline);
      if (next > end) break;
      this.#now = Math.max(this.#now, next);
      if (answer !== undefined && answer.at <= deadline) {
        this.#answers.shift();
        this.#handle({ kind: 'frame', iface: answer.iface, bytes: answer.bytes });
      } else this.#handle({ kind: 'tick' });
    }
    this.#now = end;
  }

  #handle(event: Parameters<HostTracker['handle']>[0]): readonly Action[] {
    this.#invariants.before(event, this.#now);
    const actions = this.#tracker.handle(event, this.#now);
    this.#invariants.after(event, actions, this.#tracker.nextDeadline(), this.#now);
    for (const action of actions) {
      if (action.kind === 'send') this.#asked(action.iface, action.bytes);
      else if ((action.kind === 'drop' || action.kind === 'evidence') && action.ip !== undefined)
        this.#waiting.delete(action.ip);
    }
    return actions;
  }

  #asked(iface: IfIndex, bytes: Uint8Array): void {
    const arp = decodeArp(bytes);
    if (typeof arp === 'string' || arp.opcode !== ARP_REQUEST || arp.senderIp === arp.targetIp) return;
    const host = this.#alive.get(arp.targetIp);
    if (host === undefined || host.iface !== iface) return;
    if (arp.destination !== host.mac && arp.destination !== MAC_BROADCAST) return;
    const reply = encodeArp({
      destination: arp.senderMac,
      source: host.mac as typeof arp.senderMac,
      opcode: ARP_REPLY,
      senderMac: host.mac as typeof arp.senderMac,
      senderIp: arp.targetIp,
      targetMac: arp.senderMac,
      targetIp: arp.senderIp,
    });
    this.#answers.push({ at: this.#now + ANSWER_MS, iface, bytes: reply });
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(pcap|pcapng|cap)$/.test(path))
  .map((path) => join(FOLDER, path))
  .sort();

/** Plays a file; returns how many of its packets were read, and what is wrong with the rest. */
async function play(replay: Replay, path: string): Promise<{ packets: number; problem: string | undefined }> {
  const reader = new CaptureFileReader();
  let packets = 0;
  let problem: string | undefined;
  replay.begin();
  try {
    for await (const chunk of createReadStream(path)) {
      for (const item of reader.read(chunk as Buffer)) {
        if (item.kind !== 'packet') continue;
        packets++;
        replay.packet(item);
      }
    }
    if (reader.isCut) problem = 'its end is missing';
  } catch (error) {
    // Other errors are ours.
    if (!(error instanceof CaptureFileError)) throw error;
    problem = error.message;
  }
  replay.end();
  return { packets, problem };
}

describe(`captures of others: ${relative(process.cwd(), FOLDER)}`, () => {
  it('there are some', () => assert.ok(files.length > 0, FOLDER));

  it('every frame has an outcome or a drop reason, nothing throws, and the invariants hold', async () => {
    const replay = new Replay();
    let packets = 0;
    for (const path of files) {
      const played = await play(replay, path);
      packets += played.packets;
      assert.ok(replay.hosts <= HOSTS, `${replay.hosts} hosts after ${path}`);
      if (played.problem !== undefined) console.log(`# ${relative(FOLDER, path)}: ${played.problem}`);
    }
    const counted = [...replay.outcomes.values()].reduce((sum, count) => sum + count, 0);
    assert.equal(counted, packets, 'each packet is counted once');
    assert.ok(packets > 0);
    const list = [...replay.outcomes].sort((a, b) => b[1] - a[1]).map(([what, count]) => `${what} ${count}`);
    console.log(`# ${packets} packets of ${files.length} files: ${list.join(', ')}`);
  });

  it('the same frames again and again need no more memory', async () => {
    const replay = new Replay();
    const short = files.slice(0, 50);
    for (const path of short) await play(replay, path);
    for (const path of short) await play(replay, path);
    const before = retainedBytes();
    for (let again = 0; again < 3; again++) for (const path of short) await play(replay, path);
    const grown = retainedBytes() - before;
    console.log(`# grew by ${(grown / 1024).toFixed(0)} kB`);
    assert.ok(grown < GROWTH_BYTES, `grew by ${grown} bytes`);
  });
});
