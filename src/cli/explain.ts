import { closeSync, createWriteStream, openSync, readFileSync, writeSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type Config, ConfigError, configForInterfaces, loadConfig } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import type { Policy } from '../mobility/policy.js';
import { parseLink, parseRoutes } from '../replay/foreign/assumptions.js';
import { isNeighbourFrame } from '../replay/frame-text.js';
import { type CaptureSource, merge, parseSource } from '../replay/files.js';
import { ForeignReplay } from '../replay/foreign/foreign-replay.js';
import { RecordedReplay } from '../replay/recorded-replay.js';
import { RouterSearch } from '../replay/foreign/router-search.js';
import type { Chapter, NameOf } from '../replay/story.js';
import { familyOf, formatMac, formatPrefix } from '../wire/addresses.js';
import { CaptureFileError, type CapturedPacket, LINK_TYPE_ETHERNET } from '../wire/pcap/capture-file.js';
import { readVersion } from '../system/version.js';
import { EXIT, type Invocation, Usage, isJson } from './arguments/command.js';
import { CommentedFile, chapterJson, chapterText } from '../replay/output.js';

export interface ExplainOptions {
  readonly config?: string | undefined;
  /** `NAME,MAC,ADDRESS/LENGTH,...` each. */
  readonly links?: readonly string[] | undefined;
  readonly routes?: string | undefined;
  readonly write?: string | undefined;
  readonly assumeAlive?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export interface ExplainIo {
  readonly out: (text: string) => unknown;
  readonly err: (text: string) => unknown;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly version: string;
}

/** Text is handed over in pieces of this size: a write per line takes longer than the replay. */
const PIECE_CHARACTERS = 1 << 16;
/** DLT_LINUX_SLL and DLT_LINUX_SLL2, of `tcpdump -i any`. */
const COOKED: readonly number[] = [113, 276];
/** So many frames are replayed to choose between assumptions. */
const SAMPLE_FRAMES = 5000;
/** Below this share of predicted frames the assumed links are probably wrong. */
const LEAST_PREDICTED = 0.1;

const WRONG_LINKS =
  'almost nothing was predicted: the assumed links are probably wrong; name them with --link (see ip -br link, ip -br addr)\n';

/**
 * Replays captures through the tracker. Resolves with whether a recording was replayed without a difference.
 * @throws CaptureFileError, ConfigError
 */
export async function explain(
  files: readonly string[],
  options: ExplainOptions,
  io: ExplainIo,
): Promise<boolean> {
  const sources = files.map(parseSource);
  const teller = new Teller(options, io);
  const recorded = new RecordedReplay();
  let foreign: ForeignReplay | undefined;
  try {
    for await (const batch of merge(sources, io.stdin)) {
      for (const { item, name } of batch) {
        if (item.kind === 'section') recorded.endSection();
        else if (item.kind === 'journal')
          teller.tell(recorded.entry(item), recorded.nameOf, () => recorded.originMs);
        else if (recorded.isRunning)
          teller.tell(recorded.packet(item), recorded.nameOf, () => recorded.originMs);
        else {
          foreign ??= await begin(sources, options, io);
          const replay = foreign;
          teller.tell(replay.packet(item, name), replay.nameOf, () => replay.originMs);
        }
      }
      teller.flush();
    }
  } finally {
    teller.close();
  }
  recorded.finish();
  io.err(summary(teller, recorded, foreign));
  if (foreign !== undefined && options.links === undefined && options.assumeAlive !== true) {
    const { predicted, others } = foreign.own;
    if (others > 0 && predicted < LEAST_PREDICTED * (predicted + others)) io.err(WRONG_LINKS);
  }
  return recorded.differences === 0;
}

class Teller {
  packets = 0;
  chapters = 0;
  firstNs: bigint | undefined;
  lastNs = 0n;
  private text = '';
  private readonly file: CommentedFile | undefined;
  private readonly fd: number | undefined;

  constructor(
    private readonly options: ExplainOptions,
    private readonly io: ExplainIo,
  ) {
    const { write } = options;
    if (write === undefined) return;
    this.file = new CommentedFile(io.version);
    try {
      this.fd = write === '-' ? 1 : openSync(write, 'w', 0o644);
    } catch (error) {
      throw new CaptureFileError(`cannot write ${write}: ${(error as Error).message}`);
    }
    this.writeBlocks(this.file.header());
  }

  /** The origin is known when the first chapter is. */
  tell(chapters: Iterable<Chapter>, nameOf: NameOf, originMs: () => number): void {
    for (const chapter of chapters) {
      this.chapters++;
      if (chapter.packet !== undefined) this.packets++;
      this.firstNs ??= chapter.timeNs;
      this.lastNs = chapter.timeNs;
      if (this.file !== undefined) this.writeBlocks(this.file.chapter(chapter, nameOf));
      if (this.options.write === '-') continue;
      this.text += this.options.json
        ? chapterJson(chapter, nameOf, originMs())
        : chapterText(chapter, nameOf);
      if (this.text.length > PIECE_CHARACTERS) this.flush();
    }
  }

  flush(): void {
    if (this.text !== '') this.io.out(this.text);
    this.text = '';
    if (this.pending.length === 0 || this.fd === undefined) return;
    const bytes = Buffer.concat(this.pending.splice(0));
    for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at);
    this.pendingBytes = 0;
  }

  close(): void {
    this.flush();
    if (this.fd !== undefined && this.fd !== 1) closeSync(this.fd);
  }

  private readonly pending: Uint8Array[] = [];
  private pendingBytes = 0;

  private writeBlocks(blocks: readonly Uint8Array[]): void {
    this.pending.push(...blocks);
    for (const block of blocks) this.pendingBytes += block.length;
    if (this.pendingBytes > PIECE_CHARACTERS) this.flush();
  }
}

/** Links and policy for captures of others. */
async function begin(
  sources: readonly CaptureSource[],
  options: ExplainOptions,
  io: ExplainIo,
): Promise<ForeignReplay> {
  const config = options.config === undefined ? undefined : loadConfig(options.config);
  const links =
    options.links === undefined ? await findLinks(sources, config, io) : options.links.map(readLink);
  const policy = config?.policy ?? policyFor(links);
  const routes = options.routes === undefined ? [] : parseRoutes(readText(options.routes), links);
  const { assumeAlive = false } = options;
  return new ForeignReplay({ policy, links, routes, assumeAlive });
}

/** The default one, for the families that the router has addresses of. */
function policyFor(links: readonly Link[]): Policy {
  const { policy } = configForInterfaces(links.map(({ name }) => name));
  const has = new Set(links.flatMap(({ addresses }) => addresses.map(({ ip }) => familyOf(ip))));
  return { ...policy, families: has.size === 0 ? policy.families : [...has] };
}

function readLink(text: string, at: number): Link {
  const link = parseLink(at + 1, text);
  if (typeof link === 'string') throw new CaptureFileError(`--link: ${link}`);
  return link;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CaptureFileError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

async function findLinks(
  sources: readonly CaptureSource[],
  config: Config | undefined,
  io: ExplainIo,
): Promise<readonly Link[]> {
  if (sources.some(({ path }) => path === '-'))
    throw new CaptureFileError('a capture from standard input needs --link NAME,MAC,ADDRESS/LENGTH,...');
  const search = new RouterSearch(config?.policy.subnets ?? [], config !== undefined);
  const sample: { packet: CapturedPacket; name: string }[] = [];
  for await (const items of merge(sources, io.stdin)) {
    for (const { item, name } of items) {
      if (item.kind !== 'packet') continue;
      const { linkType } = item.interface;
      if (COOKED.includes(linkType))
        throw new CaptureFileError(
          `${name} was captured on "any", which keeps no destination MAC: capture each LAN by itself (tcpdump -i NAME -w NAME.pcap arp or rarp)`,
        );
      if (linkType !== LINK_TYPE_ETHERNET || !isNeighbourFrame(item.bytes)) continue;
      search.note(name, item.bytes, item.direction === 'out');
      // A copy: the file's own buffer is larger.
      if (sample.length < SAMPLE_FRAMES)
        sample.push({ packet: { ...item, bytes: item.bytes.slice() }, name });
    }
  }
  const { links, unknown } = search.result((candidates) => {
    const policy = config?.policy ?? policyFor(candidates);
    const replay = new ForeignReplay({ policy, links: candidates });
    for (const { packet, name } of sample) for (const _ of replay.packet(packet, name));
    return replay.own.predicted;
  });
  if (links.length === 0)
    throw new CaptureFileError(
      'no station probes hosts or answers for a gateway in these captures: name the router with --link NAME,MAC,ADDRESS/LENGTH,...',
    );
  for (const { name, mac, addresses } of links)
    io.err(`assumed: --link ${[name, formatMac(mac), ...addresses.map(formatPrefix)].join(',')}\n`);
  for (const name of unknown)
    io.err(`not replayed: ${name}, no station probes hosts or answers for a gateway there\n`);
  return links;
}

function summary(teller: Teller, recorded: RecordedReplay, foreign: ForeignReplay | undefined): string {
  const seconds = Number(teller.lastNs - (teller.firstNs ?? teller.lastNs)) / 1e9;
  const parts = [`${teller.packets} packets in ${seconds.toFixed(3)} s`];
  if (recorded.inputs > 0)
    parts.push(`${recorded.inputs} recorded events, ${recorded.differences} differences`);
  if (recorded.incomplete > 0)
    parts.push('the recording began while marpd ran: what was under way then is not in it');
  if (foreign !== undefined && foreign.own.predicted + foreign.own.others > 0)
    parts.push(`${foreign.own.predicted} frames sent as predicted, ${foreign.own.others} not predicted`);
  for (const [name, count] of foreign?.ignored.otherInterface ?? [])
    parts.push(`${count} packets on ${name}, which is no link`);
  return `${parts.join('; ')}\n`;
}

// --- the commands ----------------------------------------------------------------------------------------------------

/** `marpctl explain`. */
export async function explainFiles({ args, options, terminal }: Invocation): Promise<number> {
  if (options.write === '-' && terminal.isTTY === true) throw new Usage('-w -: a terminal shows no pcapng');
  const { config, link, routes, write, assumeAlive } = options;
  const json = isJson(options);
  return told(() =>
    explain(
      args,
      { config, links: link, routes, write, assumeAlive, json },
      { ...terminal, stdin: process.stdin, version: readVersion() },
    ),
  );
}

/** `marpctl capture`: the daemon's recording into a file, or told at once. Ends with Ctrl-C, --duration or the daemon. */
export async function capture({ client, options, terminal }: Invocation): Promise<number> {
  const { write, duration, timeout } = options;
  if (write === '-' && terminal.isTTY === true) throw new Usage('-w -: a terminal shows no pcapng');
  const stream = await client.open('/v1/capture', timeout);
  const stop = () => stream.destroy();
  terminal.signal?.addEventListener('abort', stop, { once: true });
  const timer = duration === undefined ? undefined : setTimeout(stop, duration);
  try {
    if (terminal.signal?.aborted === true) stop();
    const stdin = untilEnded(stream);
    if (write === undefined) {
      const io = { ...terminal, stdin, version: readVersion() };
      await told(() => explain(['-'], { json: isJson(options) }, io));
      return EXIT.ok;
    }
    terminal.err(
      `capturing; ${duration === undefined ? '' : `ends after ${duration / 1000} s, and `}Ctrl-C ends it\n`,
    );
    await pipeline(stdin, write === '-' ? process.stdout : createWriteStream(write, { mode: 0o640 }));
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (path !== undefined) throw new Usage(`cannot write ${path}: ${(error as Error).message}`);
    if (!isEnd(code)) throw error;
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
  return EXIT.ok;
}

/** A stream that was stopped has ended, as one has whose other side is gone. */
async function* untilEnded(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    if (!isEnd((error as NodeJS.ErrnoException).code)) throw error;
  }
}

const isEnd = (code: string | undefined) =>
  code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';

async function told(run: () => Promise<boolean>): Promise<number> {
  try {
    return (await run()) ? EXIT.ok : EXIT.negative;
  } catch (error) {
    if (!(error instanceof CaptureFileError) && !(error instanceof ConfigError)) throw error;
    throw new Usage(error.message);
  }
}
