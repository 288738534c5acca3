import { Picture, type RoutedRecord, timeOf } from './picture.js';

/** The replay of recorded events: `marpctl explain --json`, or `marpctl monitor --all --json` written to a file. */

/** Of one router, unless the records name theirs. @throws Error that says which line is no record */
export function readRecords(text: string, name = 'router'): RoutedRecord[] {
  const records: RoutedRecord[] = [];
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new Error(`line ${index + 1} is not JSON: expected the output of marpctl explain --json`);
    }
    const { event, time, router } = value as Partial<RoutedRecord>;
    if (typeof event !== 'string' || Number.isNaN(timeOf(time))) return;
    records.push({ ...(value as RoutedRecord), router: typeof router === 'string' ? router : name });
  });
  if (records.length === 0)
    throw new Error('no events in this file: expected the output of marpctl explain --json');
  return records;
}

export class Replay {
  readonly records: readonly RoutedRecord[];
  readonly start: number;
  readonly end: number;
  picture = new Picture();
  #next = 0;

  /** In any order, of any number of routers. */
  constructor(records: readonly RoutedRecord[]) {
    this.records = [...records].sort((a, b) => timeOf(a.time) - timeOf(b.time));
    this.start = timeOf(this.records[0]?.time);
    this.end = timeOf(this.records.at(-1)?.time);
  }

  /** Everything up to `at`. Backwards means from the start again, in a new picture. */
  goTo(at: number): void {
    const applied = this.records[this.#next - 1];
    if (applied !== undefined && timeOf(applied.time) > at) {
      this.picture = new Picture();
      this.#next = 0;
    }
    for (let record = this.records[this.#next]; record !== undefined; record = this.records[++this.#next]) {
      if (timeOf(record.time) > at) return;
      this.picture.apply(record);
    }
  }
}
