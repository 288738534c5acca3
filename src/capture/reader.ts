import '../system/no-debugger.js';
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import cap from 'cap';
import { ETHERNET_HEADER_BYTES } from '../wire/ethernet.js';
import { isCaptured, rankOf } from './family/families.js';
import { LONG_SNAP_BYTES } from './family/nd.js';
import {
  ALIVE_MS,
  LONG_BURST_FRAMES,
  LONG_FRAMES_PER_SECOND,
  LONG_READ_PER_SECOND,
  LONG_RING_BYTES,
  WAITING_FRAMES,
} from './overload/constants.js';
import { RefreshFilter } from './overload/refresh-filter.js';
import { Queue, SendQueue } from './overload/send-queue.js';
import { TokenBucket } from '../rate/token-bucket.js';
import { Throttle } from './overload/throttle.js';
import {
  ALIVE,
  SUPPRESS,
  CLOSE,
  FAILED,
  FRAME,
  INJECT,
  MISSED,
  OPEN,
  OPENED,
  type OpenRequest,
  READ,
  READY,
  RecordReader,
  SEND_FAILED,
  SNAP_BYTES,
  STAMP,
  STAMPED_FRAME,
  STAMP_BYTES,
  UNUSABLE,
  decodeSuppress,
  decodeOpen,
  encodeCounters,
  encodeRecord,
  encodeText,
  encodeOpenResult,
} from './protocol.js';

/**
 * The reader: reads frames from interfaces and writes frames to them, for a daemon at the other end of file descriptor 3.
 * It is a process of its own because libpcap may abort it when an interface disappears. It lives as long as that
 * descriptor does.
 *
 * It relies on cap as scripts/cap-build.h compiles it: the read loop returns to the event loop every 64 frames, so
 * commands are read within a millisecond or two however many frames arrive.
 */

const DAEMON_FD = 3;
/** After close() libuv still needs the handle's memory, which belongs to the Cap, until the next turn. */
const KEEP_CLOSED_MS = 1000;
/** Frames are read between two commands for as long as the command took, and at most for this; some 600 of them. */
const REST_MS = 2;

const ETHER_TYPE_VLAN = 0x8100;
const VLAN_TAG_BYTES = 4;
const VLAN_ID_MASK = 0x0fff;

type Handle = InstanceType<typeof cap.Cap>;

interface OpenInterface {
  readonly handle: Handle;
  /** Reads long messages, if the families have any: from a ring of their own, with longer slots. */
  readonly long: Handle | undefined;
  readonly queue: Queue;
  frames: number;
  /** Of them. */
  longFrames: number;
  /** Of these, dropped: more than LONG_FRAMES_PER_SECOND. */
  longDropped: number;
  reportedFrames: number;
  suppressed: number;
  sendFailed: number;
  reportedSendFailed: number;
  reportedLost: number;
}

// EAGAIN is an everyday answer, and V8 would collect a stack for each.
Error.stackTraceLimit = 0;

const interfaces = new Map<number, OpenInterface>();
/** Interfaces to open and to close, in the order of the daemon's commands. */
const commands: (() => void)[] = [];
let resting = false;
/** Every handle copies its frame here before it calls us; cap itself holds no reference to it. */
const captured = Buffer.alloc(LONG_SNAP_BYTES + STAMP_BYTES);
/** The kernel's time of a frame, as cap fills it in. */
const stamp = Buffer.alloc(STAMP_BYTES);
let stamping = false;

const exit = () => process.exit(0);
const reader = new RecordReader(onCommand);
const channel: SocketConstructorOpts & ConnectOpts = {
  fd: DAEMON_FD,
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
const daemon = new Socket(channel);
daemon.on('end', exit).on('close', exit).on('error', exit);
const sendQueue = new SendQueue(daemon, DAEMON_FD, exit);
const refreshFilter = new RefreshFilter();
const clock = () => performance.now();
/** For records that belong to no open interface. */
const ownQueue = new Queue();
sendQueue.record(ownQueue, encodeRecord(READY, 0));
setInterval(report, ALIVE_MS);

function onCommand(kind: number, iface: number, payload: Uint8Array): void {
  if (kind === INJECT) return inject(iface, payload);
  if (kind === READ) return sendQueue.acknowledge(iface);
  if (kind === SUPPRESS) return suppress(iface, payload);
  if (kind === STAMP) {
    stamping = iface === 1;
    return;
  }
  if (kind === OPEN) {
    const request = decodeOpen(iface, payload);
    commands.push(() => open(request));
  } else if (kind === CLOSE) commands.push(() => close(iface));
  else throw new RangeError(`unknown command ${kind}`);
  if (!resting) nextCommand();
}

/** The kernel takes up to 10 ms to open or close a packet socket, and nothing is read meanwhile: one at a time. */
function nextCommand(): void {
  const run = commands.shift();
  resting = run !== undefined;
  if (run === undefined) return;
  const began = performance.now();
  run();
  setTimeout(nextCommand, Math.min(REST_MS, performance.now() - began));
}

function open(request: OpenRequest): void {
  close(request.iface);
  const { iface, name, filter, longFilter, ringBytes } = request;
  const queue = new Queue(iface);
  const opened: OpenInterface = {
    handle: new cap.Cap(),
    long: longFilter === '' ? undefined : new cap.Cap(),
    queue,
    frames: 0,
    longFrames: 0,
    longDropped: 0,
    reportedFrames: 0,
    suppressed: 0,
    sendFailed: 0,
    reportedSendFailed: 0,
    reportedLost: 0,
  };
  listen(opened, iface, new Throttle(request));
  if (opened.long !== undefined) listenLong(opened, opened.long, iface);
  try {
    const type = opened.handle.open(name, filter, ringBytes, captured.subarray(0, SNAP_BYTES));
    interfaces.set(iface, opened);
    if (type !== 'ETHERNET') throw new Error(`not an Ethernet interface (${type})`);
    opened.long?.open(name, longFilter, LONG_RING_BYTES, captured.subarray(0, LONG_SNAP_BYTES));
  } catch (error) {
    close(iface);
    const text = error instanceof Error ? error.message : String(error);
    sendQueue.record(ownQueue, encodeOpenResult(FAILED, iface, request.serial, text));
    return;
  }
  if (kernelCounts(opened.handle) === undefined) {
    const text = 'node_modules/cap was not compiled with scripts/cap-build.h: run npm run build:native';
    sendQueue.record(ownQueue, encodeRecord(UNUSABLE, 0, encodeText(text)));
  }
  sendQueue.record(queue, encodeOpenResult(OPENED, iface, request.serial, ''));
}

function listen(to: OpenInterface, iface: number, throttle: Throttle): void {
  to.handle.on('packet', (length) => {
    to.frames++;
    const bytes = untag(length);
    if (bytes > 0) pass(to, to.handle, iface, bytes);
    throttle.count(sendQueue.isFull(to.queue));
  });
}

/** The short sleeps of the throttle keep frames of other interfaces from waiting; the allowance keeps the daemon free. */
function listenLong(to: OpenInterface, handle: Handle, iface: number): void {
  const burstFrames = LONG_BURST_FRAMES;
  const throttle = new Throttle({ burstFrames, framesPerSecond: LONG_READ_PER_SECOND });
  const allowance = new TokenBucket(burstFrames, LONG_FRAMES_PER_SECOND);
  handle.on('packet', (length) => {
    to.frames++;
    to.longFrames++;
    const bytes = untag(length);
    if (bytes > 0 && allowance.take(performance.now())) pass(to, handle, iface, bytes);
    else if (bytes > 0) to.longDropped++;
    throttle.count(sendQueue.isFull(to.queue));
  });
}

/** Passes on what is in `captured`. */
function pass(from: OpenInterface, by: Handle, iface: number, bytes: number): void {
  const rank = rankOf(captured);
  if (rank === 'other' && refreshFilter.isRedundant(iface, captured, bytes, clock)) from.suppressed++;
  else if (stamping && readStamp(by)) {
    captured.set(stamp, bytes);
    sendQueue.frame(from.queue, rank, STAMPED_FRAME, iface, captured, bytes + STAMP_BYTES);
  } else sendQueue.frame(from.queue, rank, FRAME, iface, captured, bytes);
}

/** False: this cap cannot tell. */
function readStamp(handle: Handle): boolean {
  try {
    handle.send(stamp, 1);
    return true;
  } catch {
    return false;
  }
}

function suppress(iface: number, payload: Uint8Array): void {
  const { ip, macHigh, macLow, forMs } = decodeSuppress(payload);
  if (forMs === 0) refreshFilter.revoke(iface, ip, macHigh, macLow);
  else refreshFilter.suppress(iface, ip, macHigh, macLow, performance.now() + forMs);
}

function close(iface: number): void {
  const known = interfaces.get(iface);
  if (known === undefined) return;
  interfaces.delete(iface);
  known.handle.close();
  known.long?.close();
  setTimeout(() => known.handle, KEEP_CLOSED_MS);
}

/** A refusal of the kernel is counted and reported once per interval; the frame is lost, as on any busy wire. */
function inject(iface: number, frame: Uint8Array): void {
  const known = interfaces.get(iface);
  if (known === undefined) return;
  try {
    known.handle.send(frame as Buffer, frame.length);
  } catch (error) {
    if (known.sendFailed++ === known.reportedSendFailed) {
      sendQueue.record(known.queue, encodeRecord(SEND_FAILED, iface, encodeText((error as Error).message)));
    }
  }
}

/**
 * Length of the frame in `captured`, or 0 when it is not of a family that we know. Tagged frames belong to the VLAN's own
 * interface, except those with VLAN 0: such a tag only carries a priority (IEEE 802.1Q section 6.9.1) and the kernel
 * delivers the frame here. The tag is removed. (A tag that the network card removed is invisible to the filter, and
 * libpcap puts it back.)
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

const NO_COUNTS = { received: 0, dropped: 0 };

/** What libpcap counted on this handle (PACKET_STATISTICS), or undefined when cap cannot tell. */
function kernelCounts(handle: Handle): { received: number; dropped: number } | undefined {
  const counts = Buffer.alloc(8);
  try {
    handle.send(counts, 0);
  } catch {
    return undefined;
  }
  const [received, dropped] = new Uint32Array(counts.buffer, counts.byteOffset, 2);
  return { received: received as number, dropped: dropped as number };
}

/** Signs of life overtake frames that wait; counters are in order with them. */
function report(): void {
  for (const [iface, known] of interfaces) {
    if (known.frames === known.reportedFrames && known.sendFailed === known.reportedSendFailed) continue;
    known.reportedFrames = known.frames;
    known.reportedSendFailed = known.sendFailed;
    const short = kernelCounts(known.handle) ?? NO_COUNTS;
    const long = known.long === undefined ? NO_COUNTS : (kernelCounts(known.long) ?? NO_COUNTS);
    const { dropped } = known.queue;
    const { sendFailed, suppressed } = known;
    // Long messages answer no question, so their loss does not explain silence.
    const lost = short.dropped + dropped + sendFailed;
    const waiting = (short.received - short.dropped - (known.frames - known.longFrames)) | 0;
    const kernelReceived = short.received + long.received;
    const kernelDropped = short.dropped + long.dropped;
    if (lost !== known.reportedLost || waiting > WAITING_FRAMES)
      sendQueue.record(ownQueue, encodeRecord(MISSED, iface));
    known.reportedLost = lost;
    const allDropped = dropped + known.longDropped;
    const counters = { kernelReceived, kernelDropped, dropped: allDropped, sendFailed, suppressed };
    sendQueue.record(known.queue, encodeCounters(iface, counters));
  }
  sendQueue.record(ownQueue, encodeRecord(ALIVE, 0));
}
