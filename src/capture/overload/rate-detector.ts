import { type CapturedInterface, offeredTo } from '../captured-interface.js';

export interface FloodLimits {
  /** Frames per second, for a second, from which an interface is flooded. */
  readonly floodFramesPerSecond: number;
  /** How long it must stay below a quarter of that until the flood is over. */
  readonly quietMs: number;
}

/** How often an interface is judged. */
export const FLOOD_WINDOW_MS = 500;
/** A burst of newcomers is over before another process would be worth its memory. */
const FLOOD_WINDOWS = 2;

/** What an interface has become in the window that ends now, by the frames that were offered in it. */
export function classifyRate(
  watched: CapturedInterface<unknown>,
  { floodFramesPerSecond, quietMs }: FloodLimits,
  now: number,
): 'flooded' | 'quiet' | 'neither' {
  // A daemon that does not keep up hears only a part of a flood.
  const offered = offeredTo(watched);
  const frames = offered - watched.framesBefore;
  watched.framesBefore = offered;
  const limit = (floodFramesPerSecond * FLOOD_WINDOW_MS) / 1000;
  if (frames > limit / 4) watched.quietSince = now;
  watched.floodWindows = frames > limit ? watched.floodWindows + 1 : 0;
  if (watched.floodWindows >= FLOOD_WINDOWS) return 'flooded';
  return now - watched.quietSince > quietMs ? 'quiet' : 'neither';
}
