import * as z from 'zod';
import { closest } from './closest.js';
import { parseDurationMs, formatDurationMs } from './durations.js';
import { ROUTE_PROTOCOLS } from './route-protocols.js';
import { type Prefix, formatIp, formatPrefix, hostLength, networkOf, parseIp } from '../wire/addresses.js';
import { type Reading, readHostIp, readHostMac, readHostPrefix, readLanIp } from '../wire/host-address.js';

/** The scalars of the configuration file: text on the left, a value with its unit in the type or name on the right. */

const SIZE_UNITS_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1 << 10,
  MiB: 1 << 20,
  GiB: 1 << 30,
};

/** Bytes of `"512KiB"`, `"32MiB"`, `"1GiB"`, `"4096B"`. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+)(B|KiB|MiB|GiB)$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (SIZE_UNITS_BYTES[match[2] as string] as number);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A schema of text that `read` turns into a value, or into the sentence why it cannot. */
function text<T>(read: (text: string) => Reading<T>) {
  return z.string().transform((input, context): T => {
    const result = read(input);
    if ('value' in result) return result.value;
    context.issues.push({ code: 'custom', message: result.problem, input });
    return z.NEVER;
  });
}

/** An address that one host can have. */
export const hostIpText = text(readHostIp);

/** An address that a router can have on a LAN. */
export const lanIpText = text(readLanIp);

/** A MAC address that one host can have. */
export const hostMacText = text(readHostMac);

/** A prefix whose host bits are zero: anything else is usually a typing error. */
export const prefixText = text((input): Reading<Prefix> => {
  const reading = readHostPrefix(input);
  if ('problem' in reading) return reading;
  const { ip, length } = reading.value;
  const network = networkOf(ip, length);
  if (network === ip) return reading;
  const meant = `${formatPrefix({ ip: network, length })} or ${formatIp(ip)}/${hostLength(ip)}`;
  return { problem: `${input} has host bits set (did you mean ${meant}?)` };
});

export interface DurationBounds {
  readonly minMs: number;
  readonly maxMs: number;
  /** `"0"` is allowed and means what the comment in reference.toml says. */
  readonly zero?: boolean;
}

export function durationText(bounds: DurationBounds) {
  return text((input): Reading<number> => {
    const ms = parseDurationMs(input);
    if (ms === undefined)
      return { problem: `"${input}" is not a duration (examples: "250ms", "5s", "10m", "1h")` };
    if (ms === 0 && bounds.zero === true) return { value: 0 };
    if (ms < bounds.minMs || ms > bounds.maxMs) {
      const range = `${formatDurationMs(bounds.minMs)} to ${formatDurationMs(bounds.maxMs)}`;
      return { problem: `"${input}" is out of range (${range}${bounds.zero === true ? ', or "0"' : ''})` };
    }
    return { value: ms };
  });
}

/** A size, or a word that is undefined: "auto" lets the program decide, "off" means none. */
export function sizeText(minBytes: number, maxBytes: number, word: 'auto' | 'off' = 'auto') {
  return text((input): Reading<number | undefined> => {
    if (input === word) return { value: undefined };
    const bytes = parseSizeBytes(input);
    if (bytes === undefined)
      return { problem: `"${input}" is not a size (examples: "512KiB", "32MiB", "${word}")` };
    if (bytes < minBytes || bytes > maxBytes) {
      return { problem: `"${input}" is out of range (${minBytes / 1024}KiB to ${maxBytes / 1024}KiB)` };
    }
    return { value: bytes };
  });
}

/** `address:port` or `[address]:port`. Names are refused: they may resolve to another place tomorrow. */
export const listenText = text((input): { value: { host: string; port: number } } | { problem: string } => {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(input);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (
    host === undefined ||
    parseIp(host) === undefined ||
    (match?.[1] !== undefined) !== host.includes(':')
  ) {
    return {
      problem: `"${input}" is not an address to listen on (examples: "127.0.0.1:9444", "[::1]:9444")`,
    };
  }
  if (port < 1 || port > 65_535) return { problem: `port ${port} is out of range (1 to 65535)` };
  return { value: { host, port } };
});

/** Octal file mode in text, as chmod takes it: `"0660"`. */
export const modeText = text((input): Reading<number> => {
  if (!/^0?[0-7]{3}$/.test(input)) return { problem: `"${input}" is not a file mode (example: "0660")` };
  return { value: Number.parseInt(input, 8) };
});

/** Main, default, or a number. 0 is the kernel's "any table" and 255 holds its own addresses. */
export const tableNumber = z
  .union([z.literal('main'), z.literal('default'), z.int()])
  .transform((input, context): number => {
    if (input === 'main') return 254;
    if (input === 'default') return 253;
    if (input >= 1 && input <= 0xffff_ffff && input !== 255) return input;
    const message =
      input === 255 || input === 0
        ? `table ${input} is reserved by the kernel`
        : `table ${input} is out of range`;
    context.issues.push({ code: 'custom', message, input });
    return z.NEVER;
  });

const PROTOCOL_NUMBERS = new Map(Object.entries(ROUTE_PROTOCOLS));

/** A routing protocol by the name or the number that its routes carry in the kernel. */
export const routeProtocol = z.union([z.string(), z.int()]).transform((input, context): number => {
  const number = typeof input === 'number' ? input : PROTOCOL_NUMBERS.get(input);
  if (number !== undefined && number >= 1 && number <= 255) return number;
  const meant = typeof input === 'string' ? closest(input, [...PROTOCOL_NUMBERS.keys()]) : undefined;
  const hint = meant === undefined ? '' : ` (did you mean "${meant}"?)`;
  const message =
    typeof input === 'number'
      ? `protocol ${input} is out of range (1 to 255)`
      : `${JSON.stringify(input)} is no protocol that marpd knows by name${hint}; give its number`;
  context.issues.push({ code: 'custom', message, input });
  return z.NEVER;
});
