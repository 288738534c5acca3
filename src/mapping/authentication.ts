import {
  ALGORITHM,
  type Authentication,
  type MapNotify,
  type MapRegister,
  coveredBytes,
  decodeAuthentication,
  encodeLisp,
  macOf,
  writeMac,
} from '../wire/lisp/message.js';
import type { MappingDrop } from './actions.js';

/** MACs, computed elsewhere (keys.ts). */
export interface Authenticator {
  /** The key that signs what we begin. */
  readonly signingKey: number;
  readonly allowsSha1: boolean;
  /** HMAC of the whole length. @throws RangeError for a key that does not exist */
  sign(keyId: number, algorithm: number, covered: Uint8Array): Uint8Array;
  /** `mac` may be the first half of the HMAC. */
  verify(
    keyId: number,
    algorithm: number,
    covered: Uint8Array,
    mac: Uint8Array,
  ): 'bad-mac' | 'unknown-key' | undefined;
}

/** How answers to this message are signed. */
export type Signature = Pick<Authentication, 'keyId' | 'algorithm'>;

type Unsigned<T> = Omit<T, keyof Authentication>;

/** A message with its MAC. @throws RangeError for a key that does not exist */
export function seal(
  message: Unsigned<MapRegister> | Unsigned<MapNotify>,
  keys: Authenticator,
  by?: Signature,
): Uint8Array {
  const { keyId, algorithm } = by ?? { keyId: keys.signingKey, algorithm: ALGORITHM.sha256 };
  const authentication = { keyId, algorithm, macBytes: algorithm === ALGORITHM.sha1 ? 20 : 32 };
  const bytes = encodeLisp({ ...message, ...authentication } as MapRegister | MapNotify);
  writeMac(bytes, keys.sign(keyId, algorithm, coveredBytes(bytes, authentication)));
  return bytes;
}

/** Checks the MAC of a message, before anything else of it is read. */
export function verified(bytes: Uint8Array, keys: Authenticator): Authentication | MappingDrop {
  const authentication = decodeAuthentication(bytes);
  if (typeof authentication === 'string') return authentication;
  const { keyId, algorithm } = authentication;
  const isAllowed = algorithm === ALGORITHM.sha256 || (algorithm === ALGORITHM.sha1 && keys.allowsSha1);
  if (!isAllowed) return 'bad-algorithm';
  const covered = coveredBytes(bytes, authentication);
  return keys.verify(keyId, algorithm, covered, macOf(bytes, authentication)) ?? authentication;
}
