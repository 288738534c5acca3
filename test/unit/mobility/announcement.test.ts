import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ANNOUNCEMENT_OFF,
  type Announcement,
  type AnnouncementInput,
  lansToTell,
  stepAnnouncement,
} from '../../../src/mobility/host/machines/announcement.js';

describe('announcement of a departure (RFC 5944 section 4.6)', () => {
  const [HOME, VISITED, NEXT] = [10, 11, 12];

  it('a LAN that was left a moment before the last one is told as often', () => {
    let state: Announcement = ANNOUNCEMENT_OFF;
    const told: [lan: number, at: number][] = [];
    const step = (input: AnnouncementInput, now: number) => {
      if (input.input === 'due') for (const lan of lansToTell(state, now)) told.push([lan, now]);
      [state] = stepAnnouncement(state, input, now);
    };
    const due = { input: 'due', wanted: true } as const;
    step({ input: 'departed', ifaces: [HOME, VISITED], from: 0 }, 0);
    step(due, 0);
    step({ input: 'seen-on', iface: 20 }, 500);
    step({ input: 'departed', ifaces: [HOME, NEXT], from: 500 }, 500);
    for (let now = 500; now <= 4000; now += 500) step(due, now);
    const timesOf = (lan: number) => told.filter(([each]) => each === lan).map(([, at]) => at);
    assert.deepEqual(timesOf(VISITED), [0, 1000, 2000]);
    assert.deepEqual(timesOf(NEXT), [500, 1500, 2500]);
    assert.deepEqual(timesOf(HOME), [0, 500, 1500, 2500]);
    assert.deepEqual(state, ANNOUNCEMENT_OFF);
  });

  it('but not where the host is by then', () => {
    const departed = (ifaces: readonly number[]) => ({ input: 'departed', ifaces, from: 0 }) as const;
    let [state] = stepAnnouncement(ANNOUNCEMENT_OFF, departed([HOME, VISITED]), 0);
    [state] = stepAnnouncement(state, { input: 'seen-on', iface: VISITED }, 0);
    [state] = stepAnnouncement(state, departed([HOME, NEXT]), 0);
    assert.deepEqual(lansToTell(state, 0), [HOME, NEXT]);
  });
});
