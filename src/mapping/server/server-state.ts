import { type Ip, type Prefix, formatIp, formatPrefix, parseIp, parsePrefix } from '../../wire/addresses.js';
import type { Signature } from '../authentication.js';
import type { Subscription } from './publisher.js';

/** What the map-server knows of an EID. Without RLOCs: it was registered a moment ago. */
export interface Mapping {
  readonly prefix: Prefix;
  /** The best first. */
  readonly rlocs: readonly Ip[];
  /** xTR-ID of the router that registered it, and from where. */
  readonly xtr: string;
  readonly rloc: Ip;
  readonly signature: Signature;
  /** Map-Version of its claim. */
  readonly version: number;
  /** Who held it before, by xTR-ID, and at which version. */
  readonly displaced: ReadonlyMap<string, number>;
}

/** All that a map-server has to know after a restart. */
export interface ServerState {
  readonly mappings: readonly Mapping[];
  /** The last nonce of each xTR and key. */
  readonly nonces: readonly (readonly [name: string, nonce: bigint])[];
  readonly subscriptions: readonly Subscription[];
}

const FORMAT = 1;

/** Text of each mapping: most are the same as when the state was saved last, and there may be 10,000. */
const texts = new WeakMap<Mapping, string>();

function encodeMapping(mapping: Mapping): string {
  const known = texts.get(mapping);
  if (known !== undefined) return known;
  const { prefix, rlocs, xtr, rloc, signature, version, displaced } = mapping;
  const text = JSON.stringify({
    prefix: formatPrefix(prefix),
    rlocs: rlocs.map(formatIp),
    xtr,
    rloc: formatIp(rloc),
    signature: { keyId: signature.keyId, algorithm: signature.algorithm },
    version,
    displaced: [...displaced],
  });
  texts.set(mapping, text);
  return text;
}

/** JSON text of the state; xTR-IDs have code points 0..255, which JSON keeps. */
export function encodeServerState({ mappings, nonces, subscriptions }: ServerState): string {
  const rest = {
    version: FORMAT,
    nonces: nonces.map(([name, nonce]) => [name, nonce.toString()]),
    subscriptions: subscriptions.map(({ rloc, prefix, signature, nonce }) => ({
      rloc: formatIp(rloc),
      prefix: prefix === undefined ? undefined : formatPrefix(prefix),
      signature: { keyId: signature.keyId, algorithm: signature.algorithm },
      nonce: nonce.toString(),
    })),
  };
  return `{"mappings":[${mappings.map(encodeMapping).join(',\n')}],\n${JSON.stringify(rest).slice(1)}\n`;
}

/** @throws Error when the text is not what `encodeServerState` wrote */
export function decodeServerState(text: string): ServerState {
  const state = JSON.parse(text);
  if (state?.version !== FORMAT) throw new Error('the state of a map-server in an unknown format');
  return {
    mappings: state.mappings.map((mapping: Record<string, never>) => ({
      ...mapping,
      prefix: known(parsePrefix(mapping.prefix as unknown as string)),
      rlocs: (mapping.rlocs as unknown as string[]).map((rloc) => known(parseIp(rloc))),
      rloc: known(parseIp(mapping.rloc as unknown as string)),
      displaced: new Map(mapping.displaced as unknown as [string, number][]),
    })),
    nonces: state.nonces.map(([name, nonce]: [string, string]) => [name, BigInt(nonce)]),
    subscriptions: state.subscriptions.map((subscription: Record<string, string>) => ({
      ...subscription,
      rloc: known(parseIp(subscription.rloc as string)),
      prefix: known(parsePrefix(subscription.prefix as string)),
      nonce: BigInt(subscription.nonce as string),
    })),
  };
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('no address');
  return value;
}
