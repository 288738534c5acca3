/** Changes of an input, as AFL makes them: of bits, bytes, ranges and words, some at a time. */

const INTERESTING = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 13, 32, 34, 39, 47, 48, 58, 92, 127, 128, 254, 255];
const encoder = new TextEncoder();

export class Mutator {
  readonly #random: () => number;
  readonly #words: readonly Uint8Array[];
  readonly #maxBytes: number;

  constructor(random: () => number, words: Iterable<string>, maxBytes: number) {
    this.#random = random;
    this.#words = [...new Set(words)].map((word) => encoder.encode(word));
    this.#maxBytes = maxBytes;
  }

  /** `other` is another input to take parts from. */
  mutate(input: Uint8Array, other: Uint8Array): Uint8Array {
    let bytes: Uint8Array = input.slice();
    for (let count = 1 << this.#below(4); count > 0; count--) bytes = this.#once(bytes, other);
    return bytes.length > this.#maxBytes ? bytes.slice(0, this.#maxBytes) : bytes;
  }

  #once(bytes: Uint8Array, other: Uint8Array): Uint8Array {
    const at = this.#below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + this.#below(this.#random() < 0.7 ? 8 : bytes.length + 1));
    switch (this.#below(bytes.length === 0 ? 3 : 12)) {
      case 0:
        return this.#replace(bytes, at, at, this.#word());
      case 1: {
        const from = this.#below(other.length + 1);
        const length = this.#below(Math.min(64, other.length - from) + 1);
        return this.#replace(bytes, at, this.#random() < 0.5 ? at : end, other.subarray(from, from + length));
      }
      case 2:
        return this.#replace(bytes, at, at, Uint8Array.of(this.#byte()));
      case 3:
        return this.#replace(bytes, at, end, new Uint8Array(0));
      case 4:
        return this.#replace(bytes, at, end, this.#word());
      case 5: // again, or many times
        return this.#repeat(bytes, at, end);
      case 6: // the end is missing
        return this.#random() < 0.2 ? bytes.slice(0, at) : this.#set(bytes, at, this.#byte());
      case 7:
        return this.#set(bytes, at, (bytes[at] ?? 0) ^ (1 << this.#below(8)));
      case 8:
        return this.#set(bytes, at, (bytes[at] ?? 0) + this.#below(33) - 16);
      case 9:
        return this.#number(bytes, at);
      case 10: {
        // two parts change places
        const part = bytes.slice(at, end);
        const rest = this.#replace(bytes, at, end, new Uint8Array(0));
        const to = this.#below(rest.length + 1);
        return this.#replace(rest, to, to, part);
      }
      default:
        return this.#set(bytes, at, this.#byte());
    }
  }

  #repeat(bytes: Uint8Array, at: number, end: number): Uint8Array {
    const part = bytes.slice(at, end);
    const times = this.#random() < 0.9 ? 1 : 1 + this.#below(64);
    const more = new Uint8Array(Math.min(this.#maxBytes, part.length * times));
    for (let i = 0; i < more.length; i++) more[i] = part[i % part.length] as number;
    return this.#replace(bytes, end, end, more);
  }

  /** Another number in place of the digits there, or two bytes of another value. */
  #number(bytes: Uint8Array, at: number): Uint8Array {
    let end = at;
    while (end < bytes.length && isDigit(bytes[end])) end++;
    const value = this.#below(2) === 0 ? 2 ** this.#below(66) - this.#below(2) : this.#below(300);
    if (end > at) return this.#replace(bytes, at, end, encoder.encode(String(value)));
    return this.#set(this.#set(bytes, at, value >>> 8), at + 1, value);
  }

  #replace(bytes: Uint8Array, start: number, end: number, by: Uint8Array): Uint8Array {
    const result = new Uint8Array(bytes.length - (end - start) + by.length);
    result.set(bytes.subarray(0, start));
    result.set(by, start);
    result.set(bytes.subarray(end), start + by.length);
    return result;
  }

  #set(bytes: Uint8Array, at: number, value: number): Uint8Array {
    if (at < bytes.length) bytes[at] = value;
    return bytes;
  }

  #word(): Uint8Array {
    return this.#words[this.#below(this.#words.length)] ?? Uint8Array.of(this.#byte());
  }

  #byte(): number {
    return this.#random() < 0.5 ? (INTERESTING[this.#below(INTERESTING.length)] as number) : this.#below(256);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57;
}
