import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { ALGORITHM } from '../wire/lisp/message.js';
import type { Authenticator } from './authentication.js';

/** The key file, and the MACs made of it (RFC 9301 section 5.6). */

export class KeyFileError extends Error {}

const HIGHEST_ID = 255;

/**
 * Lines `id secret`; `#` begins a comment. The highest id signs what we begin, and each of them verifies, so that a key is
 * replaced in two steps.
 */
export class Keys implements Authenticator {
  readonly #secrets: ReadonlyMap<number, string>;
  readonly signingKey: number;

  /** @throws KeyFileError naming the line */
  constructor(
    text: string,
    readonly allowsSha1 = false,
  ) {
    const secrets = new Map<number, string>();
    for (const [i, line] of text.split('\n').entries()) {
      const trimmed = line.trim();
      if (trimmed === '' || trimmed.startsWith('#')) continue;
      const [, id, secret] = /^(\d{1,3})\s+(\S+)$/.exec(trimmed) ?? [];
      if (id === undefined || secret === undefined || Number(id) > HIGHEST_ID)
        throw new KeyFileError(`line ${i + 1} is not "id secret" with an id of 0 to ${HIGHEST_ID}`);
      if (secrets.has(Number(id))) throw new KeyFileError(`line ${i + 1}: key ${id} is there already`);
      secrets.set(Number(id), secret);
    }
    if (secrets.size === 0) throw new KeyFileError('there is no key in it');
    this.#secrets = secrets;
    this.signingKey = Math.max(...secrets.keys());
  }

  get ids(): readonly number[] {
    return [...this.#secrets.keys()];
  }

  sign(keyId: number, algorithm: number, covered: Uint8Array): Uint8Array {
    const secret = this.#secrets.get(keyId);
    if (secret === undefined) throw new RangeError(`there is no key ${keyId}`);
    return createHmac(algorithm === ALGORITHM.sha1 ? 'sha1' : 'sha256', secret)
      .update(covered)
      .digest();
  }

  verify(
    keyId: number,
    algorithm: number,
    covered: Uint8Array,
    mac: Uint8Array,
  ): 'bad-mac' | 'unknown-key' | undefined {
    if (!this.#secrets.has(keyId)) return 'unknown-key';
    const expected = this.sign(keyId, algorithm, covered).subarray(0, mac.length);
    return expected.length === mac.length && timingSafeEqual(expected, mac) ? undefined : 'bad-mac';
  }
}

/** @throws KeyFileError when the file cannot be read, is not as it has to be, or others than its owner and group may read it */
export function readKeys(path: string, allowsSha1 = false): Keys {
  let text: string;
  let mode: number;
  try {
    mode = statSync(path).mode;
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new KeyFileError(
      `cannot read the key file: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if ((mode & 0o007) !== 0) throw new KeyFileError(`${path} may be used by others: chmod o= ${path}`);
  try {
    return new Keys(text, allowsSha1);
  } catch (error) {
    throw error instanceof KeyFileError ? new KeyFileError(`${path}: ${error.message}`) : error;
  }
}
