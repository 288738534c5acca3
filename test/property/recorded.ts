import type { Event } from '../../src/mobility/events.js';
import type { Policy } from '../../src/mobility/policy.js';
import type { HostTracker } from '../../src/mobility/tracker.js';
import { RecordedReplay } from '../../src/replay/recorded-replay.js';
import { Recording } from '../../src/replay/recording.js';
import { CaptureFileReader } from '../../src/wire/pcap/capture-file.js';

/** Records all that a tracker is given from now on. The returned function is the bytes of the file so far. */
export function record(tracker: HostTracker, policy: Policy, complete = true, now = 0): () => Uint8Array {
  const blocks: Uint8Array[] = [];
  const recording = new Recording(
    'marpd test',
    (iface) => tracker.link(iface)?.name,
    (bytes) => blocks.push(bytes),
  );
  const { events, known } = complete ? { events: [], known: undefined } : tracker.seed();
  recording.begin({ originMs: 1_796_000_000_000, now, policy, complete, events, known });
  const handle = tracker.handle.bind(tracker);
  const setPolicy = tracker.setPolicy.bind(tracker);
  tracker.handle = (event: Event, at: number) => {
    const actions = handle(event, at);
    recording.input(event, at, actions, undefined);
    return actions;
  };
  tracker.setPolicy = (next: Policy, at: number) => {
    const actions = setPolicy(next, at);
    recording.policy(next, at, actions);
    return actions;
  };
  return () => Buffer.concat(blocks);
}

/** Replays a file. Differences with what was decided then, and how many inputs there were. */
export function replay(file: Uint8Array): { differences: string[]; inputs: number } {
  const replayed = new RecordedReplay();
  const differences: string[] = [];
  for (const item of new CaptureFileReader().read(file)) {
    if (item.kind === 'section') continue;
    const chapters = item.kind === 'journal' ? replayed.entry(item) : replayed.packet(item);
    for (const chapter of chapters) differences.push(...chapter.differences);
  }
  differences.push(...replayed.finish());
  return { differences, inputs: replayed.inputs };
}
