import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { MappingConfig } from './config/mapping.js';
import { Tunnel, type TunnelStats } from './kernel/tunnel/tunnel.js';
import { KeyFileError, readKeys } from './mapping/keys.js';
import { Mapping, type MappingStatus, SERVER_FILE } from './mapping/mapping.js';
import type { ClaimAge, Link } from './mobility/events.js';
import type { Child } from './system/child-watch.js';
import { replaceFile } from './system/state/state-file.js';
import {
  type Family,
  type Ip,
  type Prefix,
  familyOf,
  formatPrefix,
  hostLength,
  isLoopback,
  isOfOneLink,
  networkOf,
} from './wire/addresses.js';

export interface MappingSystemOptions {
  readonly config: MappingConfig;
  readonly families: readonly Family[];
  /** Home prefixes of the configuration; none: those that routers register. */
  readonly subnets: readonly Prefix[];
  readonly stateDirectory: string;
  /** Home prefixes of the site, ours and those that other routers have registered, whenever they change. */
  readonly onHomePrefixes: (prefixes: readonly Prefix[]) => void;
  readonly onWarning: (message: string) => void;
  readonly onInfo: (message: string) => void;
}

const EVERYTHING: Readonly<Record<Family, Prefix>> = {
  ipv4: { ip: 0 as Ip, length: 0 },
  ipv6: { ip: '\0'.repeat(16) as Ip, length: 0 },
};
const KEY_BYTES = 32;

/** [mapping]: claims and home prefixes go to the map-servers; what they say of others becomes routes into the tunnel. */
export class MappingSystem {
  readonly #options: MappingSystemOptions;
  readonly #tunnel: Tunnel | undefined;
  #mapping: Mapping | undefined;
  readonly #claims = new Map<Ip, ClaimAge>();
  /** Home prefixes of ours and of others, as text. */
  #own = new Map<string, Prefix>();
  readonly #others = new Map<string, Prefix>();
  #flushing = false;

  constructor(options: MappingSystemOptions) {
    this.#options = options;
    const { config, families, onWarning, onInfo } = options;
    const { encapsulation, instance, ...rest } = config;
    if (encapsulation !== 'none')
      this.#tunnel = new Tunnel({
        ...rest,
        encapsulation,
        vni: instance,
        families,
        onWarning: (_kind, message) => onWarning(message),
        onInfo,
      });
  }

  /** @throws KeyFileError, TunnelError: a sentence with the cure */
  async start(): Promise<void> {
    const { config, families, subnets, stateDirectory, onWarning, onInfo } = this.#options;
    if (config.isServer) makeKeys(config.keyFile, onInfo);
    const keys = readKeys(config.keyFile);
    await this.#tunnel?.start();
    const adopted = this.#tunnel?.adopted() ?? [];
    // Visitors of an earlier run are allowed before a map-server repeats where their home is.
    for (const { prefix } of adopted) this.#noteHome(prefix, true);
    const pathOf = (name: string) =>
      name === SERVER_FILE ? config.stateFile : join(stateDirectory, basename(name));
    const mapping = new Mapping({
      rloc: config.rlocs[0] as Ip,
      instance: config.instance,
      servers: config.servers.map((ip) => ({ ip, isForeign: false })),
      keys,
      prefixes: subnets.length > 0 ? subnets : families.map((family) => EVERYTHING[family]),
      adopted,
      scopes: new Map(config.sites.map(({ key, prefixes, rlocs }) => [key, { prefixes, rlocs }])),
      readState: (name) => (existsSync(pathOf(name)) ? readFileSync(pathOf(name), 'utf8') : undefined),
      writeState: (name, text) => replaceFile(pathOf(name), text),
      onRoute: (prefix, rloc) => this.#route(prefix, rloc),
      onAlarm: (alarm, isOver, message) => (isOver ? onInfo : onWarning)(`${alarm}: ${message}`),
      onError: onWarning,
    });
    if (config.announce === 'home') for (const prefix of this.#own.values()) mapping.register(prefix);
    for (const [ip, age] of this.#claims) mapping.claim(ip, age);
    mapping.start();
    this.#mapping = mapping;
  }

  get children(): Child[] {
    return this.#tunnel?.children ?? [];
  }

  claim(ip: Ip, age: ClaimAge): void {
    this.#claims.set(ip, age);
    this.#mapping?.claim(ip, age);
  }

  release(ip: Ip): void {
    if (this.#claims.delete(ip)) this.#mapping?.release(ip);
  }

  /** The mobility interfaces as they are now: their subnets are at home here. */
  setHomes(links: readonly Link[]): void {
    const { config, families, subnets } = this.#options;
    const now = new Map<string, Prefix>();
    for (const { addresses } of links)
      for (const { ip, length } of addresses) {
        const prefix = { ip: networkOf(ip, length), length };
        const isSubnet = length < hostLength(ip) && !isOfOneLink(ip) && !isLoopback(ip);
        const isOfSite =
          subnets.length === 0 || subnets.some((each) => formatPrefix(each) === formatPrefix(prefix));
        if (isSubnet && isOfSite && families.includes(familyOf(ip))) now.set(formatPrefix(prefix), prefix);
      }
    if ([...now.keys()].join() === [...this.#own.keys()].join()) return;
    const before = this.#own;
    this.#own = now;
    this.#tellHomePrefixes();
    if (config.announce !== 'home') return;
    for (const [text, prefix] of before) if (!now.has(text)) this.#mapping?.withdraw(prefix);
    for (const [text, prefix] of now) if (!before.has(text)) this.#mapping?.register(prefix);
  }

  /** `keep`: registrations and routes stay for the next run. */
  async stop(keep: boolean): Promise<void> {
    if (!keep) {
      for (const ip of this.#claims.keys()) this.#mapping?.release(ip);
      for (const prefix of this.#own.values()) this.#mapping?.withdraw(prefix);
    }
    await this.#mapping?.stop();
    await this.#tunnel?.stop(keep);
  }

  status(): MappingStatus | undefined {
    return this.#mapping?.status();
  }

  /** undefined: there is no tunnel. */
  tunnelStats(): TunnelStats | undefined {
    return this.#tunnel?.stats();
  }

  #tellHomePrefixes(): void {
    this.#options.onHomePrefixes([...this.#own.values(), ...this.#others.values()]);
  }

  /** A mapping of more than a host is the home of hosts at another router. */
  #noteHome(prefix: Prefix, isThere: boolean): void {
    if (prefix.length === hostLength(prefix.ip)) return;
    if (isThere) this.#others.set(formatPrefix(prefix), prefix);
    else this.#others.delete(formatPrefix(prefix));
    this.#tellHomePrefixes();
  }

  #route(prefix: Prefix, rloc: Ip | undefined): void {
    if (rloc === undefined) this.#tunnel?.delete(prefix);
    else this.#tunnel?.set(prefix, rloc);
    this.#noteHome(prefix, rloc !== undefined);
    // All that one turn of the event loop brings goes in one write.
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#tunnel?.flush();
    });
  }
}

/** The first router of a site has no key yet. @throws KeyFileError when it cannot be written */
function makeKeys(path: string, onInfo: (message: string) => void): void {
  if (existsSync(path)) return;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `1 ${randomBytes(KEY_BYTES).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new KeyFileError(
      `cannot make the key file: ${(error as Error).message}; name another one by --key`,
    );
  }
  onInfo(`made the key file ${path}: copy it to the other routers, and name it there by --key`);
}
