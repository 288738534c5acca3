import { createReadStream } from 'node:fs';
import { CaptureFileError, CaptureFileReader, type CaptureItem } from '../wire/pcap/capture-file.js';

/** A capture file, and the interface that it was taken on when it does not say so. */
export interface CaptureSource {
  readonly path: string;
  readonly name: string | undefined;
}

export interface NamedItem {
  readonly item: CaptureItem;
  /** The interface of a packet. */
  readonly name: string;
}

const CHUNK_BYTES = 1 << 20;

/** `lan0=FILE` or `FILE`. */
export function parseSource(text: string): CaptureSource {
  const match = /^([^=/\s]{1,15})=(.+)$/.exec(text);
  return match === null ? { path: text, name: undefined } : { path: match[2] as string, name: match[1] };
}

/** `captures/lan0.pcap` was probably taken on lan0. */
function nameOfFile(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return base.replace(/\.(pcap|pcapng|cap|dump)(ng)?$/, '');
}

/** Items of one file in its order, some at a time. `-` is `stdin`. @throws CaptureFileError */
export async function* readItems(
  source: CaptureSource,
  stdin: AsyncIterable<Uint8Array>,
): AsyncGenerator<NamedItem[]> {
  const { path } = source;
  const reader = new CaptureFileReader();
  const stream: AsyncIterable<Uint8Array> =
    path === '-' ? stdin : createReadStream(path, { highWaterMark: CHUNK_BYTES });
  try {
    for await (const chunk of stream) {
      const items: NamedItem[] = [];
      for (const item of reader.read(chunk)) {
        const named = item.kind === 'packet' ? item.interface.name : undefined;
        items.push({ item, name: source.name ?? named ?? nameOfFile(path) });
      }
      if (items.length > 0) yield items;
    }
  } catch (error) {
    if (error instanceof CaptureFileError) throw new CaptureFileError(`${path}: ${error.message}`);
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === undefined
      ? error
      : new CaptureFileError(`${path}: ${code === 'ENOENT' ? 'there is no such file' : message}`);
  }
}

/** Packets of several files in the order of their stamps. A single file keeps its own order. */
export async function* merge(
  sources: readonly CaptureSource[],
  stdin: AsyncIterable<Uint8Array>,
): AsyncGenerator<NamedItem[]> {
  const [first, ...others] = sources;
  if (first === undefined) return;
  if (others.length === 0) return yield* readItems(first, stdin);
  const open = await Promise.all(
    sources.map(async (source) => {
      const cursor = { items: [] as NamedItem[], at: 0, from: readItems(source, stdin) };
      await refill(cursor);
      return cursor;
    }),
  );
  let batch: NamedItem[] = [];
  for (;;) {
    const next = open
      .filter((cursor) => cursor.at < cursor.items.length)
      .reduce<(typeof open)[number] | undefined>(
        (least, cursor) => (least === undefined || timeOf(cursor) < timeOf(least) ? cursor : least),
        undefined,
      );
    if (next === undefined) break;
    batch.push(next.items[next.at++] as NamedItem);
    if (next.at === next.items.length) {
      await refill(next);
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

interface Cursor {
  items: NamedItem[];
  at: number;
  readonly from: AsyncGenerator<NamedItem[]>;
}

async function refill(cursor: Cursor): Promise<void> {
  const { value, done } = await cursor.from.next();
  cursor.items = done === true ? [] : value;
  cursor.at = 0;
}

function timeOf({ items, at }: Cursor): bigint {
  const item = items[at]?.item;
  return item === undefined || item.kind === 'section' ? 0n : item.timeNs;
}
