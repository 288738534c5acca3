import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type DestinationStream, type Logger, pino } from 'pino';
import { describe, describeRoleChange } from './descriptions.js';
import type { Action, DropReason, HostState, IfIndex } from '../mobility/events.js';
import { formatIp, formatMac } from '../wire/addresses.js';

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'auto' | 'json' | 'pretty';
}

/** JSON lines, lines for people when standard output is a terminal, or lines for the journal. */
export function createLogger(options: LogOptions, sink: DestinationStream): Logger {
  const isAuto = options.format === 'auto';
  const pretty = options.format === 'pretty' || (isAuto && isatty(1));
  const plain = isAuto && isJournal(1) ? journalStream(sink) : sink;
  return pino(
    {
      level: options.level,
      base: null,
      // Of an event that is when it happened; of other lines, when they are written.
      timestamp: false,
      mixin: () => ({ time: new Date().toISOString() }),
      formatters: { level: (label) => ({ level: label }) },
    },
    pretty ? prettyStream(sink) : plain,
  );
}

/** Whether stdout or stderr is a stream of systemd-journald (systemd.exec(5), JOURNAL_STREAM). */
export function isJournal(fd: 1 | 2): boolean {
  if (process.env.JOURNAL_STREAM === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

/** sd-daemon(3): what `journalctl -p` filters by. The journal has the time itself. */
const PRIORITIES: Readonly<Record<string, number>> = { fatal: 2, error: 3, warn: 4, info: 6 };

/** Each record as words behind its priority: `<4>10.1.1.5 alarm duplicate: ...`. */
export function journalStream(out: DestinationStream): DestinationStream {
  return {
    write: (json) => {
      const { level, time: _time, msg = '', ...fields } = JSON.parse(json) as Record<string, unknown>;
      const priority = `<${PRIORITIES[String(level)] ?? 7}>`;
      const details = Object.entries(fields).filter(([key]) => !IN_MESSAGE.has(key));
      const more = details.map(([key, value]) => ` ${key}=${JSON.stringify(value)}`).join('');
      out.write(`${priority}${String(msg).replaceAll('\n', `\n${priority}`)}${more}\n`);
    },
  };
}

/** Fields that the message says already. */
const IN_MESSAGE: ReadonlySet<string> = new Set([
  ...['event', 'alarm', 'ip', 'from', 'to', 'cause', 'interface', 'mac', 'otherMac', 'otherInterface'],
  ...['target', 'evidence', 'rttMs', 'reason', 'reasons'],
]);

/** In this process: pino's usual way is a worker thread, 20 MB for a daemon that a person looks at. */
function prettyStream(sink: DestinationStream): DestinationStream {
  // Loaded only here: a service that logs JSON has no use for it.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as PinoPretty;
  const pretty = prettyFactory({
    singleLine: true,
    colorize: isatty(1) && process.env.NO_COLOR === undefined,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: [...IN_MESSAGE].join(),
  });
  return { write: (line) => sink.write(pretty(line)) };
}

interface PinoPretty {
  readonly prettyFactory: (options: object) => (line: string) => string;
}

/** A burst is logged whole; whoever goes on causing lines, by forged frames for example, fills no disk. */
const BURST_LINES = 1000;
const LINES_PER_SECOND = 10;
/** For people who look for a fault. */
const DEBUG_LINES_PER_SECOND = 200;
/** So long an alarm of one kind on one interface is only counted. */
const ALARM_PAUSE_MS = 10_000;
const SUMMARY_INTERVAL_MS = 10_000;
/** Coming into or out of these states is news; the rest is how it came to that. */
const NEWS: ReadonlySet<HostState> = new Set(['home', 'fresh', 'settled', 'beneath', 'away']);

/**
 * The log as a view of the tracker's actions. Ignored frames are never logged one by one, alarms once in a while per kind
 * and interface, and transitions up to a budget: every 10 s one line says how many there were of each kind.
 */
export class ActionLog {
  readonly #logger: Logger;
  readonly #nameOf: (iface: IfIndex) => string | undefined;
  readonly #drops = new Map<DropReason, number>();
  readonly #unlogged = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  /** When an alarm of a kind on an interface was logged last. */
  readonly #alarmAt = new Map<string, number>();
  #lines = BURST_LINES;
  #refilledAt = 0;

  readonly #timeOf: (at: number) => string;

  constructor(
    logger: Logger,
    nameOf: (iface: IfIndex) => string | undefined,
    timeOf: (at: number) => string,
  ) {
    this.#logger = logger;
    this.#nameOf = nameOf;
    this.#timeOf = timeOf;
  }

  record(action: Action): void {
    switch (action.kind) {
      case 'drop':
        this.#drops.set(action.reason, (this.#drops.get(action.reason) ?? 0) + 1);
        this.#summariseLater();
        if (!this.#logger.isLevelEnabled('trace')) return;
        this.#logger.trace(
          { time: this.#timeOf(action.at), reason: action.reason },
          describe(action, this.#nameOf(action.iface) ?? '?'),
        );
        return;
      case 'transition': {
        const level = NEWS.has(action.from) || NEWS.has(action.to) ? 'info' : 'debug';
        if (!this.#logger.isLevelEnabled(level)) return;
        if (!this.#mayLog(action.at)) return this.#skip(`${action.from} -> ${action.to}`);
        const { from, to, cause, interface: place } = action;
        const ip = formatIp(action.ip);
        const mac = action.mac === undefined ? undefined : formatMac(action.mac);
        this.#logger[level](
          { time: this.#timeOf(action.at), event: 'transition', ip, from, to, cause, interface: place, mac },
          `${ip} ${describe(action, '')}`,
        );
        return;
      }
      case 'alarm': {
        if (!this.#isNews(action) || !this.#mayLog(action.at)) return this.#skip(`alarm ${action.alarm}`);
        const ip = action.ip === undefined ? undefined : formatIp(action.ip);
        const mac = action.mac === undefined ? undefined : formatMac(action.mac);
        const otherMac = action.otherMac === undefined ? undefined : formatMac(action.otherMac);
        const { interface: place, otherInterface, alarm } = action;
        this.#logger.warn(
          {
            time: this.#timeOf(action.at),
            event: 'alarm',
            alarm,
            ip,
            mac,
            interface: place,
            otherMac,
            otherInterface,
          },
          `${ip === undefined ? '' : `${ip} `}${describe(action, '')}`,
        );
        return;
      }
      case 'role': {
        const { interface: name, family, role, state, reason } = action;
        this.#logger.info(
          { time: this.#timeOf(action.at), event: 'role', interface: name, family, role, state, reason },
          describeRoleChange(action),
        );
        return;
      }
      case 'evidence':
      case 'answered': {
        if (!this.#logger.isLevelEnabled('debug')) return;
        if (!this.#mayLog(action.at)) return this.#skip(action.kind);
        const about = action.kind === 'evidence' ? action.ip : action.asker;
        const ip = about === undefined ? undefined : formatIp(about);
        this.#logger.debug(
          { time: this.#timeOf(action.at), event: action.kind, ip, interface: action.interface },
          `${ip ?? '?'} ${describe(action, '')}`,
        );
        return;
      }
      default:
        return;
    }
  }

  /** What the other parts complain of; whoever makes them complain without end fills no disk. */
  warn(message: string): void {
    if (this.#mayLog(performance.now())) this.#logger.warn(message);
    else this.#skip('warning');
  }

  /** Says now what was not said one by one. */
  summarise(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#say('frames ignored', this.#drops);
    this.#say('events not logged individually', this.#unlogged);
  }

  #say(what: string, counts: Map<string, number>): void {
    if (counts.size === 0) return;
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    counts.clear();
    const total = sorted.reduce((sum, [, count]) => sum + count, 0);
    const listed = sorted.map(([name, count]) => `${name} ${count}`).join(', ');
    this.#logger.info({ reasons: Object.fromEntries(sorted) }, `${total} ${what}: ${listed}`);
  }

  #isNews({ alarm, interface: place, at }: Extract<Action, { kind: 'alarm' }>): boolean {
    const key = `${alarm} ${place}`;
    if (at - (this.#alarmAt.get(key) ?? Number.NEGATIVE_INFINITY) < ALARM_PAUSE_MS) return false;
    // Interfaces come and go.
    if (this.#alarmAt.size >= BURST_LINES) this.#alarmAt.clear();
    this.#alarmAt.set(key, at);
    return true;
  }

  #mayLog(at: number): boolean {
    const perSecond = this.#logger.isLevelEnabled('debug') ? DEBUG_LINES_PER_SECOND : LINES_PER_SECOND;
    const refill = (Math.max(0, at - this.#refilledAt) * perSecond) / 1000;
    this.#lines = Math.min(BURST_LINES, this.#lines + refill);
    this.#refilledAt = at;
    if (this.#lines < 1) return false;
    this.#lines--;
    return true;
  }

  #skip(what: string): void {
    this.#unlogged.set(what, (this.#unlogged.get(what) ?? 0) + 1);
    this.#summariseLater();
  }

  #summariseLater(): void {
    this.#timer ??= setTimeout(() => this.summarise(), SUMMARY_INTERVAL_MS).unref();
  }
}
