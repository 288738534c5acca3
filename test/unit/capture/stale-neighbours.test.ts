import assert from 'node:assert/strict';
import { test } from 'node:test';
import { misdirectedFilter } from '../../../src/capture/stale-neighbours.js';
import type { Mac } from '../../../src/wire/addresses.js';

const OWN = 0x020000000001 as Mac;
const VIRTUAL = 0x00005e000107 as Mac;
const visitors = (...macs: number[]) => new Map(macs.map((mac) => [mac as Mac, 1]));

test('what is sent to a MAC of ours is not misdirected, be it that of a macvlan', () => {
  const filter = misdirectedFilter(['ipv4'], [OWN, VIRTUAL], visitors(0x020000000005)) ?? '';
  for (const mac of ['02:00:00:00:00:01', '00:00:5e:00:01:07'])
    assert.match(filter, new RegExp(`not ether dst ${mac} and not ether src ${mac}`));
  assert.match(filter, / and \(ether src 02:00:00:00:00:05\)$/);
});

test('where all hosts are watched the filter does not change with them: opening it anew takes 30 ms', () => {
  const few = misdirectedFilter(['ipv4'], [OWN], visitors(5), true);
  assert.equal(few, misdirectedFilter(['ipv4'], [OWN], visitors(5, 6, 7), true));
  assert.ok(few !== undefined && !few.includes('00:00:00:00:00:05'));
  assert.equal(misdirectedFilter(['ipv4'], [OWN], visitors(), true), undefined);
});
