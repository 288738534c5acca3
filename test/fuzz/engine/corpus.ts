/** Inputs that took a branch, or took it as often, as none before; and which of them is the shortest for each. */
export class Corpus {
  readonly inputs: Uint8Array[] = [];
  /** Of each branch, which counts of it were seen: a bit for 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more. */
  readonly #seen: Uint8Array;
  /** The shortest input, as a place in `inputs`, by branch and bit. */
  readonly #shortest: Int32Array;
  readonly #words: Uint32Array;
  readonly #counters: Uint8Array;
  #bytes = 0;

  /** @param counters with a length that is a multiple of 4 */
  constructor(counters: Uint8Array) {
    this.#counters = counters;
    this.#words = new Uint32Array(counters.buffer, counters.byteOffset, counters.length / 4);
    this.#seen = new Uint8Array(counters.length);
    this.#shortest = new Int32Array(counters.length * 8).fill(-1);
  }

  get bytes(): number {
    return this.#bytes;
  }

  covered(point: number): boolean {
    return this.#seen[point] !== 0;
  }

  /** Keeps the input if the counters show something new of it. */
  offer(input: Uint8Array): void {
    let kept = -1;
    for (let word = 0; word < this.#words.length; word++) {
      if (this.#words[word] === 0) continue;
      for (let point = word * 4; point < word * 4 + 4; point++) {
        const count = this.#counters[point] as number;
        if (count === 0) continue;
        const bit = bucketOf(count);
        const owner = this.#shortest[point * 8 + bit] as number;
        if (owner >= 0 && (this.inputs[owner] as Uint8Array).length <= input.length) continue;
        if (kept < 0) {
          kept = this.inputs.push(input.slice()) - 1;
          this.#bytes += input.length;
        }
        this.#seen[point] = (this.#seen[point] as number) | (1 << bit);
        this.#shortest[point * 8 + bit] = kept;
      }
    }
  }

  /** Those that are the shortest for something. */
  best(): Uint8Array[] {
    return [...new Set(this.#shortest)].filter((at) => at >= 0).map((at) => this.inputs[at] as Uint8Array);
  }
}

function bucketOf(count: number): number {
  if (count < 4) return count - 1;
  if (count < 8) return 3;
  if (count < 16) return 4;
  if (count < 32) return 5;
  return count < 128 ? 6 : 7;
}
