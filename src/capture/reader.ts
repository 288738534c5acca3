import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import cap from 'cap';
import { ETHERNET_HEADER_BYTES } from '../wire/ethernet.js';
import { isAnswer, isCaptured, senderOf } from './family/families.js';
import { RefreshFilter } from './overload/refresh-filter.js';
import { KnownHosts } from './overload/known-hosts.js';
import { FLOOD_ARGUMENT, MISDIRECTED_ARGUMENT } from './reader-launch.js';
import { Queue, SendQueue } from './overload/send-queue.js';
import {
  SUPPRESS,
  CLOSE,
  CLOSED,
  FAILED,
  FRAME,
  INJECT,
  KNOW,
  OPEN,
  OPENED,
  type OpenRequest,
  READ,
  READY,
  REFUSE,
  RecordReader,
  SEND_FAILED,
  SNAP_BYTES,
  UNUSABLE,
  decodeSuppress,
  decodeOpen,
  decodeRefuse,
  encodeCounters,
  encodeRecord,
  encodeText,
  encodeOpenResult,
} from './protocol.js';
import { KNOWN_HOSTS_MS } from './overload/storm-mode.js';
import { FLOOD_PACE, REFUSE_PACE, MISDIRECTED_PACE, Throttle } from './overload/throttle.js';

/**
 * The capture child: reads frames from interfaces and writes frames to them, for a parent at the other end of file
 * descriptor 3, and knows nothing else. It is a process of its own because libpcap may take it along when an
 * interface disappears. It lives as long as that descriptor does.
 *
 * It relies on cap as scripts/cap-build.h compiles it: the read loop returns to the event loop every 64 frames, so
 * commands are heard within a fraction of a millisecond during any flood.
 */

const PARENT_FD = 3;
/** Shorter than the window in which the parent judges floods. */
const COUNTERS_INTERVAL_MS = 400;
/** After close() libuv still needs the handle's memory, which belongs to the Cap, until the next turn. */
const KEEP_CLOSED_MS = 1000;

/** Frames are read between two orders for as long as the order took, and at most for this; some 600 of them. */
const REST_MS = 2;

const ETHER_TYPE_VLAN = 0x8100;
const VLAN_TAG_BYTES = 4;
const VLAN_ID_MASK = 0x0fff;

interface Tap {
  readonly handle: InstanceType<typeof cap.Cap>;
  readonly lane: Queue;
  /** For answers to our own questions, among others. */
  readonly answers: Queue;
  /** For what known hosts say. */
  readonly refreshes: Queue;
  frames: number;
  reportedFrames: number;
  absorbed: number;
  refused: number;
  /** Newcomers are refused until then; 0: they are not. */
  refusingUntil: number;
  /** Who is no newcomer. */
  readonly acquaintances: KnownHosts;
  /** When the parent last said anything of a storm. */
  stormyAt: number;
  sendFailed: number;
  reportedSendFailed: number;
}

// EAGAIN is an everyday answer, and V8 would collect a stack for each.
Error.stackTraceLimit = 0;

const taps = new Map<number, Tap>();
/** Interfaces to open and to close, in the order in which the parent asked. */
const orders: (() => void)[] = [];
let resting = false;
/** Every handle copies its frame here before it calls us; cap itself holds no reference to it. */
const captured = Buffer.alloc(SNAP_BYTES);

const die = () => process.exit(0);
const reader = new RecordReader(obey);
const channel: SocketConstructorOpts & ConnectOpts = {
  fd: PARENT_FD,
  readable: true,
  writable: true,
  onread: {
    buffer: new Uint8Array(65_536),
    callback: (length, chunk) => {
      reader.feed(chunk.subarray(0, length));
      return true;
    },
  },
};
const parent = new Socket(channel);
parent.on('end', die).on('close', die).on('error', die);
const outbox = new SendQueue(parent, PARENT_FD, die);
const absorber = new RefreshFilter();
const clock = () => performance.now();
/** Only where no quiet interface would have to sleep with a flooded one. */
const paces = new Map([
  [FLOOD_ARGUMENT, FLOOD_PACE],
  [MISDIRECTED_ARGUMENT, MISDIRECTED_PACE],
]);
const pace = paces.get(process.argv[2] ?? '');
const throttle = pace && new Throttle(pace);
/** Naps of a child that reads what nobody will look at. */
const refusals = new Throttle(REFUSE_PACE);
/** For records that belong to no open interface. */
const ownLane = new Queue('news');
outbox.record(ownLane, encodeRecord(READY, 0));
setInterval(reportCounters, COUNTERS_INTERVAL_MS);

function obey(kind: number, iface: number, payload: Uint8Array): void {
  if (kind === INJECT) return inject(iface, payload);
  if (kind === READ) return outbox.acknowledge(iface);
  if (kind === SUPPRESS) return absorb(iface, payload);
  if (kind === REFUSE) return refuse(iface, decodeRefuse(payload));
  if (kind === KNOW) return learn(iface, payload);
  if (kind === OPEN) {
    const request = decodeOpen(iface, payload);
    orders.push(() => open(request));
  } else if (kind === CLOSE) orders.push(() => close(iface));
  else throw new RangeError(`unknown command ${kind}`);
  if (!resting) nextOrder();
}

/** The kernel takes up to 10 ms to open or close a packet socket, and nothing is read meanwhile: one at a time. */
function nextOrder(): void {
  const carryOut = orders.shift();
  resting = carryOut !== undefined;
  if (carryOut === undefined) return;
  const began = performance.now();
  carryOut();
  setTimeout(nextOrder, Math.min(REST_MS, performance.now() - began));
}

function open(request: OpenRequest): void {
  close(request.iface);
  const handle = new cap.Cap();
  const lane = new Queue('news');
  const tap: Tap = {
    handle,
    lane,
    answers: new Queue('answers'),
    refreshes: new Queue('refreshes'),
    frames: 0,
    reportedFrames: 0,
    absorbed: 0,
    refused: 0,
    refusingUntil: 0,
    acquaintances: new KnownHosts(),
    stormyAt: 0,
    sendFailed: 0,
    reportedSendFailed: 0,
  };
  handle.on('packet', (length) => {
    tap.frames++;
    const bytes = untag(length);
    if (bytes > 0) pass(tap, request.iface, bytes);
    throttle?.count(outbox.isFull(lane));
  });
  // A VLAN tag that the network card took off is invisible to a filter and put back by libpcap: see untag().
  try {
    const type = handle.open(request.name, request.filter, request.ringBytes, captured);
    taps.set(request.iface, tap);
    if (type !== 'ETHERNET') throw new Error(`not an Ethernet interface (${type})`);
  } catch (error) {
    close(request.iface);
    const text = error instanceof Error ? error.message : String(error);
    outbox.record(ownLane, encodeOpenResult(FAILED, request.iface, request.serial, text));
    return;
  }
  if (kernelCounts(tap) === undefined) {
    const text = 'node_modules/cap was not compiled with scripts/cap-build.h: run npm run build:native';
    outbox.record(ownLane, encodeRecord(UNUSABLE, 0, encodeText(text)));
  }
  outbox.record(lane, encodeOpenResult(OPENED, request.iface, request.serial, ''));
}

/** Hands on what is in `captured`: answers first, what known hosts say last. */
function pass(tap: Tap, iface: number, bytes: number): void {
  let lane = tap.answers;
  if (!isAnswer(captured)) {
    const familiarity = absorber.familiarity(iface, captured, bytes, clock);
    if (familiarity === 'absorbed') {
      tap.absorbed++;
      return;
    }
    if (familiarity === 'unknown' && tap.refusingUntil > 0 && isRefused(tap, bytes)) return;
    lane = familiarity === 'known' ? tap.refreshes : tap.lane;
  }
  const { shed } = lane;
  outbox.frame(lane, FRAME, iface, captured, bytes);
  // There is no room for what comes now: others need the processor more.
  if (lane.shed !== shed) refusals.count(false);
}

function absorb(iface: number, payload: Uint8Array): void {
  const { ip, macHigh, macLow, forMs } = decodeSuppress(payload);
  if (forMs === 0) absorber.revoke(iface, ip, macHigh, macLow);
  else absorber.absorb(iface, ip, macHigh, macLow, performance.now() + forMs);
}

/** Of whom the parent knows; of many, it comes in pieces, and the refusal after them. */
function learn(iface: number, payload: Uint8Array): void {
  const tap = taps.get(iface);
  if (tap === undefined) return;
  tap.stormyAt = performance.now();
  tap.acquaintances.learn(payload);
}

function refuse(iface: number, forMs: number): void {
  const tap = taps.get(iface);
  if (tap === undefined) return;
  tap.stormyAt = performance.now();
  tap.refusingUntil = tap.stormyAt + forMs;
  // They came before we were told so, by the ten thousand.
  outbox.sift(tap.lane, (frame) => isStranger(tap, frame, frame.length));
}

/** Counts a newcomer of a storm. It is not worth a processor: what comes while we nap is lost in the ring, at no cost. */
function isRefused(tap: Tap, bytes: number): boolean {
  if (performance.now() >= tap.refusingUntil) {
    tap.refusingUntil = 0;
    return false;
  }
  if (!isStranger(tap, captured, bytes)) return false;
  tap.refused++;
  refusals.count(false);
  return true;
}

/** Whether the first `length` bytes of `frame` are the word of a host that the parent does not know. */
function isStranger(tap: Tap, frame: Uint8Array, length: number): boolean {
  const speaker = senderOf(frame, length);
  return speaker !== undefined && !tap.acquaintances.has(speaker.ip, speaker.macHigh, speaker.macLow);
}

function close(iface: number): void {
  const tap = taps.get(iface);
  if (tap === undefined) return;
  taps.delete(iface);
  tap.handle.close();
  setTimeout(() => tap.handle, KEEP_CLOSED_MS);
  outbox.join(tap.refreshes, tap.lane);
  outbox.join(tap.answers, tap.lane);
  outbox.record(tap.lane, encodeRecord(CLOSED, iface));
}

/** The kernel's refusal is counted and told once per interval; the frame is lost, as on any busy wire. */
function inject(iface: number, frame: Uint8Array): void {
  const tap = taps.get(iface);
  if (tap === undefined) return;
  try {
    tap.handle.send(frame as Buffer, frame.length);
  } catch (error) {
    if (tap.sendFailed++ === tap.reportedSendFailed) {
      outbox.record(tap.lane, encodeRecord(SEND_FAILED, iface, encodeText((error as Error).message)));
    }
  }
}

/**
 * Length of the frame in `captured`, or 0 when there is none of a family that we know. Tagged frames belong to the
 * VLAN's own interface, except the tag with VLAN 0, which only carries a priority (IEEE 802.1Q section 6.9.1) and
 * which the kernel delivers here: it is taken out.
 */
function untag(length: number): number {
  if (length < ETHERNET_HEADER_BYTES) return length;
  const etherType = captured.readUInt16BE(12);
  if (isCaptured(etherType)) return length;
  if (etherType !== ETHER_TYPE_VLAN || length < ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES) return 0;
  if ((captured.readUInt16BE(14) & VLAN_ID_MASK) !== 0) return 0;
  captured.copy(captured, 12, 16, length);
  return length - VLAN_TAG_BYTES;
}

/** What libpcap counted on this handle (PACKET_STATISTICS), or undefined when cap cannot tell. */
function kernelCounts(tap: Tap): { received: number; dropped: number } | undefined {
  const counts = Buffer.alloc(8);
  try {
    tap.handle.send(counts, 0);
  } catch {
    return undefined;
  }
  const [received, dropped] = new Uint32Array(counts.buffer, counts.byteOffset, 2);
  return { received: received as number, dropped: dropped as number };
}

function reportCounters(): void {
  for (const [iface, tap] of taps) {
    if (performance.now() - tap.stormyAt > 2 * KNOWN_HOSTS_MS) tap.acquaintances.forget();
    if (tap.frames === tap.reportedFrames && tap.sendFailed === tap.reportedSendFailed) continue;
    tap.reportedFrames = tap.frames;
    tap.reportedSendFailed = tap.sendFailed;
    const counts = kernelCounts(tap);
    outbox.record(
      tap.lane,
      encodeCounters(iface, {
        kernelReceived: counts?.received ?? 0,
        kernelDropped: counts?.dropped ?? 0,
        shed: tap.lane.shed + tap.answers.shed + tap.refreshes.shed,
        sendFailed: tap.sendFailed,
        absorbed: tap.absorbed,
        refused: tap.refused + tap.lane.sifted,
      }),
    );
  }
}
