import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOwnNotification } from '../../../src/kernel/ip/monitor.js';

// Lines with our protocol number of ip -o -d -N monitor link address neigh route, iproute2-6.1.0
const OWN = [
  '10.64.1.5 dev lan0 lladdr 02:00:0a:40:01:05 extern_learn PERMANENT proto 44 ',
  '10.64.1.5 dev PERMANENT lladdr 02:00:0a:40:01:05 extern_learn PERMANENT proto 44 ',
  '1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 1 ',
  '1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 3523215362 ',
  '6 10.64.1.7 table 254 proto 44 scope 0 metric 5 ',
];
const OF_OTHERS = [
  'Deleted 1 10.64.1.5 dev lan0 table 254 proto 44 scope 253 metric 1 ',
  'Deleted 10.64.1.5 dev lan0 FAILED proto 44 ',
  // an administrator made it his own
  '10.64.1.5 dev lan0 lladdr 02:00:0a:40:01:05 PERMANENT proto 44 ',
  '10.64.1.5 dev extern_learn lladdr 02:00:0a:40:01:05 PERMANENT proto 44 ',
];

test('design.md 5.5: our own entries coming back are told from what others did to them', () => {
  for (const line of OWN) assert.ok(isOwnNotification(line), line);
  for (const line of OF_OTHERS) assert.ok(!isOwnNotification(line), line);
});
