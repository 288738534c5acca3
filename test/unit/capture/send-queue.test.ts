import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Queue, SendQueue } from '../../../src/capture/overload/send-queue.js';
import {
  COUNTERS,
  FRAME,
  QUEUED,
  RecordReader,
  decodeQueued,
  encodeRecord,
} from '../../../src/capture/protocol.js';

const scratch = mkdtempSync(join(tmpdir(), 'marpd-send-queue-'));
after(() => rmSync(scratch, { recursive: true }));

interface Pair {
  parent: Socket;
  /** `kind:iface:number` of every record that arrived. */
  arrived: string[];
  /** `interface:milliseconds` of every QUEUED record. */
  waited: string[];
  /** A send queue whose daemon acknowledges what it reads. */
  sendQueue(onLost?: () => void): SendQueue;
  close(): void;
}

let pairs = 0;

/** Two connected sockets; nothing is read from the parent's before it is resumed. */
async function connected(): Promise<Pair> {
  const path = join(scratch, String(pairs++));
  const server: Server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, 'listening');
  const child = new Socket().connect(path);
  const [parent] = (await once(server, 'connection')) as [Socket];
  await new Promise<void>((resolve) => (child.connecting ? child.once('connect', resolve) : resolve()));
  server.close();
  const arrived: string[] = [];
  const waited: string[] = [];
  const reader = new RecordReader((kind, iface, payload) => {
    if (kind === QUEUED) waited.push(`${iface}:${decodeQueued(payload)}`);
    else arrived.push(`${kind}:${iface}:${payload.length >= 4 ? Buffer.from(payload).readUInt32LE(0) : ''}`);
  });
  let heard: SendQueue | undefined;
  parent.on('data', (chunk: Buffer) => {
    reader.feed(chunk);
    heard?.acknowledge(chunk.length);
  });
  const { fd } = (child as unknown as { _handle: { fd: number } })._handle;
  const sendQueue = (onLost = () => assert.fail('lost')) => {
    heard = new SendQueue(child, fd, onLost);
    return heard;
  };
  const close = () => {
    child.destroy();
    parent.destroy();
  };
  return { parent, arrived, waited, sendQueue, close };
}

const frame = Buffer.alloc(60);
function numbered(n: number): Uint8Array {
  frame.writeUInt32LE(n, 0);
  return frame;
}

function newcomer(sendQueue: SendQueue, queue: Queue, iface: number, n: number): void {
  sendQueue.frame(queue, 'other', FRAME, iface, numbered(n), 60);
}

async function until(look: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !look(); ) {
    assert.ok(Date.now() < deadline, 'not within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('the reader writing to the daemon', () => {
  it('writes a lone frame at the end of the turn', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    parent.resume();
    newcomer(sendQueue, new Queue(), 3, 1);
    assert.deepEqual(arrived, []);
    await until(() => arrived.length === 1);
    assert.deepEqual(arrived, [`${FRAME}:3:1`]);
  });

  it('keeps the order of an interface and lets another overtake its backlog when the daemon is slow', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const flooded = new Queue();
    const quiet = new Queue();
    for (let i = 0; i < 50_000; i++) newcomer(sendQueue, flooded, 1, i);
    newcomer(sendQueue, quiet, 2, 0);
    sendQueue.record(quiet, encodeRecord(COUNTERS, 2));
    parent.resume();
    await until(() => arrived.length === 50_002);
    const place = arrived.indexOf(`${FRAME}:2:0`);
    assert.ok(place < 10_000, `the quiet interface came ${place}th`);
    assert.equal(arrived[place + 1], `${COUNTERS}:2:`);
    const ofFlooded = arrived.filter((text) => text.startsWith(`${FRAME}:1:`));
    assert.deepEqual(
      ofFlooded,
      Array.from({ length: 50_000 }, (_, i) => `${FRAME}:1:${i}`),
    );
    assert.equal(flooded.dropped, 0);

    // Nothing is queued any more: synchronous, as before.
    newcomer(sendQueue, flooded, 1, 50_000);
    await until(() => arrived.length === 50_003);
  });

  it('tells of each chunk of an interface how long it has waited, and when that is over', async (t) => {
    const { parent, arrived, waited, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const queue = new Queue(7);
    for (let i = 0; i < 10_000; i++) newcomer(sendQueue, queue, 7, i);
    const since = performance.now();
    await until(() => performance.now() - since > 50);
    parent.resume();
    await until(() => arrived.length === 10_000);
    await until(() => waited.length % 2 === 0);
    assert.ok(waited.length >= 2);
    waited.forEach((text, i) => {
      const [iface, ms] = text.split(':').map(Number);
      assert.equal(iface, 7);
      if (i % 2 === 0) assert.ok((ms as number) >= 50 && (ms as number) < 30_000, text);
      else assert.equal(ms, 0);
    });
  });

  it('lets replies overtake the newcomers of a burst on the same interface', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const queue = new Queue();
    for (let i = 0; i < 50_000; i++) newcomer(sendQueue, queue, 1, i);
    for (let i = 0; i < 100; i++) sendQueue.frame(queue, 'reply', FRAME, 1, numbered(100_000 + i), 60);
    parent.resume();
    await until(() => arrived.length === 50_100);
    const last = arrived.indexOf(`${FRAME}:1:100099`);
    assert.ok(last < 1000, `the last reply came ${last}th`);
  });

  it('lets questions take turns with the newcomers of a burst, so that neither waits for all of the other', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const queue = new Queue();
    for (let i = 0; i < 50_000; i++) newcomer(sendQueue, queue, 1, i);
    for (let i = 0; i < 50_000; i++) sendQueue.frame(queue, 'question', FRAME, 1, numbered(100_000 + i), 60);
    parent.resume();
    await until(() => arrived.length === 100_000);
    const first = arrived.indexOf(`${FRAME}:1:100000`);
    assert.ok(first < 1000, `the first question came ${first}th`);
    const questions = arrived
      .slice(1000, 50_000)
      .filter((text) => text.length === `${FRAME}:1:100000`.length);
    assert.ok(questions.length > 20_000 && questions.length < 29_000, `${questions.length} questions`);
  });

  it('does not let replies of one interface delay frames of another', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const [busy, quiet] = [new Queue(), new Queue()];
    for (let i = 0; i < 20_000; i++) sendQueue.frame(busy, 'reply', FRAME, 1, numbered(i), 60);
    newcomer(sendQueue, quiet, 2, 0);
    parent.resume();
    await until(() => arrived.length === 20_001);
    const place = arrived.indexOf(`${FRAME}:2:0`);
    assert.ok(place < 1000, `it came ${place}th`);
  });

  it('holds 100,000 newcomers, drops what is beyond its memory, counts it, and never drops its own records', async (t) => {
    const { parent, arrived, sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make();
    const queue = new Queue(1);
    for (let i = 0; i < 50_000; i++) newcomer(sendQueue, queue, 1, i);
    // Signs of life belong to no interface: they take no share.
    const own = new Queue();
    sendQueue.record(own, encodeRecord(COUNTERS, 0));
    for (let i = 50_000; i < 100_000; i++) newcomer(sendQueue, queue, 1, i);
    assert.equal(queue.dropped, 0);
    for (let i = 0; i < 100_000; i++) newcomer(sendQueue, queue, 1, i);
    assert.ok(queue.dropped > 0);
    assert.ok(queue.bytes < 9 << 20);
    sendQueue.record(queue, encodeRecord(COUNTERS, 1));
    parent.resume();
    await until(() => arrived.length === 200_002 - queue.dropped);
    assert.equal(arrived.at(-1), `${COUNTERS}:1:`);
    assert.equal(queue.bytes, 0);
  });

  it('shares its memory among the interfaces that are behind', async (t) => {
    const { sendQueue: make, close } = await connected();
    t.after(close);
    const sendQueue = make(() => {});
    const queues = Array.from({ length: 4 }, (_, i) => new Queue(i + 1));
    for (let i = 0; i < 100_000; i++) {
      for (const queue of queues) newcomer(sendQueue, queue, 1, i);
    }
    for (const queue of queues) assert.ok(queue.bytes < (2 << 20) + 20_000, `${queue.bytes} bytes`);
  });

  it('reports that the daemon is gone', async (t) => {
    const { parent, sendQueue: make, close } = await connected();
    t.after(close);
    let lost = 0;
    const sendQueue = make(() => lost++);
    parent.destroy();
    await once(parent, 'close');
    newcomer(sendQueue, new Queue(), 1, 1);
    sendQueue.flush();
    assert.equal(lost, 1);
  });
});
