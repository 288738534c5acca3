import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import type { IfIndex } from '../mobility/events.js';
import { replaceFile } from '../system/state/state-file.js';

/** A kernel setting that we changed. */
export interface SavedSetting {
  readonly path: string;
  readonly original: number;
  readonly ours: number;
  /** Interface index, 0 for what belongs to none: another interface of that name starts with its own values. */
  readonly index: IfIndex;
}

/** A line of the state file: a saved value, or that there is none any more. The first line is the boot id. */
type Line = SavedSetting | { readonly path: string; readonly forgotten: true };

export interface SavedSettingsOptions {
  readonly stateFile: string;
  /** Whether it is a setting that we change: the file may hold anything. */
  readonly isOurs: (path: string) => boolean;
  readonly onWarning: (message: string) => void;
}

/** The state file is written anew when it has this many lines more than twice what is saved; a shorter one at each loss. */
const SPARE_LINES = 100;

/** The original values of what we changed, also in a file, so that a crash does not make our values the originals. */
export class SavedSettings {
  readonly #options: SavedSettingsOptions;
  readonly #saved = new Map<string, SavedSetting>();
  /** Paths whose saved value is not in the state file as it is now. */
  readonly #unstored = new Set<string>();
  /** Lines in the state file; undefined until this run has written it. */
  #lines: number | undefined;

  constructor(options: SavedSettingsOptions) {
    this.#options = options;
  }

  get(path: string): SavedSetting | undefined {
    return this.#saved.get(path);
  }

  /** In the order in which they were changed first. */
  all(): SavedSetting[] {
    return [...this.#saved.values()];
  }

  set(saved: SavedSetting): void {
    this.#saved.set(saved.path, saved);
    this.#unstored.add(saved.path);
  }

  forget(path: string): void {
    if (this.#saved.delete(path)) this.#unstored.add(path);
  }

  /** What a run that crashed since the last boot had changed; `isKept`: whether it is still as that run left it. */
  takeOver(isKept: (saved: SavedSetting) => boolean): void {
    for (const saved of this.#load()) {
      if (isKept(saved)) this.#saved.set(saved.path, saved);
      this.#unstored.add(saved.path);
    }
  }

  #load(): Iterable<SavedSetting> {
    let lines: string[];
    try {
      lines = readFileSync(this.#options.stateFile, 'utf8').split('\n');
    } catch {
      return [];
    }
    if (lines[0] !== bootId()) return [];
    const saved = new Map<string, SavedSetting>();
    for (const text of lines.slice(1)) {
      if (text === '') continue;
      const line = parseLine(text, this.#options.isOurs);
      if (line === undefined) {
        this.#options.onWarning(`${this.#options.stateFile}: an original kernel setting is lost: ${text}`);
      } else if ('forgotten' in line) saved.delete(line.path);
      else saved.set(line.path, line);
    }
    return saved.values();
  }

  /** Appends what has changed. Taps come and go by the hundred, and each would cost the whole file otherwise. */
  store(): void {
    const { stateFile, onWarning } = this.#options;
    if (this.#unstored.size === 0) return;
    const lines = [...this.#unstored].map((path): Line => this.#saved.get(path) ?? { path, forgotten: true });
    this.#unstored.clear();
    try {
      if (this.#saved.size === 0) {
        rmSync(stateFile, { force: true });
        this.#lines = undefined;
      } else if (
        this.#lines === undefined ||
        (this.#saved.size < SPARE_LINES && lines.some((line) => 'forgotten' in line)) ||
        this.#lines + lines.length > 2 * this.#saved.size + SPARE_LINES
      ) {
        replaceFile(stateFile, `${bootId()}\n${toText([...this.#saved.values()])}`);
        this.#lines = this.#saved.size;
      } else {
        appendFileSync(stateFile, toText(lines));
        this.#lines += lines.length;
      }
    } catch (error) {
      this.#lines = undefined;
      onWarning(`original kernel settings cannot be saved: ${(error as Error).message}`);
    }
  }
}

function toText(lines: readonly Line[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** undefined for what is damaged, or names a file that is none of ours. */
function parseLine(text: string, isOurs: (path: string) => boolean): Line | undefined {
  try {
    const line: unknown = JSON.parse(text);
    const { path, forgotten, original, ours, index } = (line ?? {}) as Record<string, unknown>;
    if (typeof path !== 'string' || !isOurs(path)) return undefined;
    if (forgotten === true) return { path, forgotten };
    return isInt32(original) && isInt32(ours) && isInt32(index) ? { path, original, ours, index } : undefined;
  } catch {
    return undefined;
  }
}

function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
