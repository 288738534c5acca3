import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Queue, SendQueue } from '../../../src/capture/overload/send-queue.js';
import { CLOSED, FRAME, RecordReader, encodeRecord } from '../../../src/capture/protocol.js';

const scratch = mkdtempSync(join(tmpdir(), 'marpd-outbox-'));
after(() => rmSync(scratch, { recursive: true }));

interface Pair {
  parent: Socket;
  /** `kind:iface:number` of every record that arrived. */
  arrived: string[];
  /** An outbox whose parent says what it reads. */
  outbox(onLost?: () => void): SendQueue;
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
  const reader = new RecordReader((kind, iface, payload) => {
    arrived.push(`${kind}:${iface}:${payload.length >= 4 ? Buffer.from(payload).readUInt32LE(0) : ''}`);
  });
  let heard: SendQueue | undefined;
  parent.on('data', (chunk: Buffer) => {
    reader.feed(chunk);
    heard?.acknowledge(chunk.length);
  });
  const { fd } = (child as unknown as { _handle: { fd: number } })._handle;
  const outbox = (onLost = () => assert.fail('lost')) => {
    heard = new SendQueue(child, fd, onLost);
    return heard;
  };
  const close = () => {
    child.destroy();
    parent.destroy();
  };
  return { parent, arrived, outbox, close };
}

const frame = Buffer.alloc(60);
function numbered(n: number): Uint8Array {
  frame.writeUInt32LE(n, 0);
  return frame;
}

async function until(look: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !look(); ) {
    assert.ok(Date.now() < deadline, 'not within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('the capture child writing to its parent', () => {
  it('has a lone frame on its way at the end of the turn', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    parent.resume();
    outbox.frame(new Queue('news'), FRAME, 3, numbered(1), 60);
    assert.deepEqual(arrived, []);
    await until(() => arrived.length === 1);
    assert.deepEqual(arrived, [`${FRAME}:3:1`]);
  });

  it('keeps the order of an interface and lets another overtake its backlog when the parent is slow', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const flooded = new Queue('news');
    const quiet = new Queue('news');
    for (let i = 0; i < 50_000; i++) outbox.frame(flooded, FRAME, 1, numbered(i), 60);
    outbox.frame(quiet, FRAME, 2, numbered(0), 60);
    outbox.record(quiet, encodeRecord(CLOSED, 2));
    parent.resume();
    await until(() => arrived.length === 50_002);
    const place = arrived.indexOf(`${FRAME}:2:0`);
    assert.ok(place < 10_000, `the quiet interface came ${place}th`);
    assert.equal(arrived[place + 1], `${CLOSED}:2:`);
    const ofFlooded = arrived.filter((text) => text.startsWith(`${FRAME}:1:`));
    assert.deepEqual(
      ofFlooded,
      Array.from({ length: 50_000 }, (_, i) => `${FRAME}:1:${i}`),
    );
    assert.equal(flooded.shed, 0);

    // The way is clear again: synchronous, as before.
    outbox.frame(flooded, FRAME, 1, numbered(50_000), 60);
    await until(() => arrived.length === 50_003);
  });

  it('lets answers overtake the newcomers of a burst, on the same interface and within milliseconds of work', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const newcomers = new Queue('news');
    const answers = new Queue('answers');
    for (let i = 0; i < 50_000; i++) outbox.frame(newcomers, FRAME, 1, numbered(i), 60);
    for (let i = 0; i < 100; i++) outbox.frame(answers, FRAME, 1, numbered(100_000 + i), 60);
    parent.resume();
    await until(() => arrived.length === 50_100);
    const last = arrived.indexOf(`${FRAME}:1:100099`);
    assert.ok(last < 1000, `the last answer came ${last}th`);
  });

  it('does not let newcomers starve behind answers, and closes an interface behind both', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const newcomers = new Queue('news');
    const answers = new Queue('answers');
    for (let i = 0; i < 20_000; i++) outbox.frame(answers, FRAME, 1, numbered(i), 60);
    for (let i = 0; i < 1000; i++) outbox.frame(newcomers, FRAME, 1, numbered(100_000 + i), 60);
    outbox.join(answers, newcomers);
    outbox.record(newcomers, encodeRecord(CLOSED, 1));
    for (let i = 0; i < 20_000; i++) outbox.frame(new Queue('answers'), FRAME, 2, numbered(i), 60);
    parent.resume();
    await until(() => arrived.length === 41_001);
    assert.ok(arrived.indexOf(`${CLOSED}:1:`) > arrived.indexOf(`${FRAME}:1:19999`));
    assert.ok(arrived.indexOf(`${FRAME}:1:100999`) < 40_000, 'they had turns before the last answer');
  });

  it('throws frames away that wait and are unwanted when their turn comes, and nothing else', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const [sifted, other] = [new Queue('news'), new Queue('news')];
    for (let i = 0; i < 20_000; i++) outbox.frame(sifted, FRAME, 1, numbered(i), 60);
    outbox.record(sifted, encodeRecord(CLOSED, 1));
    outbox.frame(other, FRAME, 2, numbered(0), 60);
    outbox.sift(sifted, (bytes) => ((bytes[0] as number) & 1) === 1);
    // What comes later is not looked at.
    for (let i = 20_000; i < 21_000; i++) outbox.frame(sifted, FRAME, 1, numbered(i), 60);
    parent.resume();
    await until(() => arrived.includes(`${FRAME}:1:20999`));
    assert.ok(sifted.sifted > 9000 && sifted.sifted <= 10_000, `${sifted.sifted}`);
    await until(() => arrived.length === 21_002 - sifted.sifted);
    const numbers = arrived
      .filter((text) => text.startsWith(`${FRAME}:1:`))
      .map((text) => Number(text.split(':')[2]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    const isEven = (n: number) => n % 2 === 0;
    // What had left before is there, odd or not.
    assert.ok(numbers.filter((n) => n > 1000 && n < 20_000).every(isEven));
    assert.equal(numbers.filter(isEven).length, 10_500);
    assert.equal(numbers.filter((n) => n >= 20_000).length, 1000, 'all of the later ones');
    assert.ok(arrived.includes(`${CLOSED}:1:`) && arrived.includes(`${FRAME}:2:0`));
  });

  it('goes on by itself when nothing of what waits is wanted', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const lane = new Queue('news');
    for (let i = 0; i < 50_000; i++) outbox.frame(lane, FRAME, 1, numbered(i), 60);
    outbox.sift(lane, () => true);
    parent.resume();
    await until(() => lane.bytes === 0);
    const left = arrived.length;
    assert.ok(left < 1000, `${left} had left before`);
    assert.equal(lane.sifted, 50_000 - left);
    outbox.frame(lane, FRAME, 1, numbered(50_000), 60);
    await until(() => arrived.length === left + 1);
  });

  it('lets newcomers overtake what known hosts repeat, of which it keeps little and starves none', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const news = new Queue('news');
    const refreshes = new Queue('refreshes');
    for (let i = 0; i < 50_000; i++) outbox.frame(refreshes, FRAME, 1, numbered(i), 60);
    for (let i = 0; i < 5000; i++) outbox.frame(news, FRAME, 1, numbered(100_000 + i), 60);
    assert.ok(refreshes.shed > 40_000 && refreshes.bytes < (256 << 10) + 16_384);
    assert.equal(news.shed, 0);
    parent.resume();
    await until(() => arrived.length === 55_000 - refreshes.shed);
    const lastNews = arrived.indexOf(`${FRAME}:1:104999`);
    const before = arrived.slice(0, lastNews).filter((record) => Number(record.split(':')[2]) < 100_000);
    assert.ok(before.length < 5000, `${before.length} refreshes went before the last newcomer`);
    assert.notEqual(arrived.at(-1), `${FRAME}:1:104999`, 'the others came, too');
  });

  it('holds 100,000 newcomers, sheds what is beyond its memory, counts it, and never sheds its own records', async (t) => {
    const { parent, arrived, outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox();
    const lane = new Queue('news');
    for (let i = 0; i < 100_000; i++) outbox.frame(lane, FRAME, 1, numbered(i), 60);
    assert.equal(lane.shed, 0);
    for (let i = 0; i < 100_000; i++) outbox.frame(lane, FRAME, 1, numbered(i), 60);
    assert.ok(lane.shed > 0);
    assert.ok(lane.bytes < 9 << 20);
    outbox.record(lane, encodeRecord(CLOSED, 1));
    parent.resume();
    await until(() => arrived.length === 200_001 - lane.shed);
    assert.equal(arrived.at(-1), `${CLOSED}:1:`);
    assert.equal(lane.bytes, 0);
  });

  it('shares its memory among the interfaces that are behind', async (t) => {
    const { outbox: makeOutbox, close } = await connected();
    t.after(close);
    const outbox = makeOutbox(() => {});
    const lanes = Array.from({ length: 4 }, () => new Queue('news'));
    for (let i = 0; i < 100_000; i++) {
      for (const lane of lanes) outbox.frame(lane, FRAME, 1, numbered(i), 60);
    }
    for (const lane of lanes) assert.ok(lane.bytes < (2 << 20) + 20_000, `${lane.bytes} bytes`);
  });

  it('says so when the parent is gone', async (t) => {
    const { parent, outbox: makeOutbox, close } = await connected();
    t.after(close);
    let lost = 0;
    const outbox = makeOutbox(() => lost++);
    parent.destroy();
    await once(parent, 'close');
    outbox.frame(new Queue('news'), FRAME, 1, numbered(1), 60);
    outbox.flush();
    assert.equal(lost, 1);
  });
});
