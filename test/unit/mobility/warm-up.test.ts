import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configForInterfaces } from '../../../src/config/config.js';
import { WARM_UP_INTERFACES, warmUp } from '../../../src/mobility/arp/warm-up.js';

test('the warm-up leads its host through a life: home, a move, a return, and another router', () => {
  const states = warmUp(configForInterfaces(WARM_UP_INTERFACES).policy);
  assert.deepEqual(states, ['proving', 'home', 'fresh', 'settled', 'fresh', 'settled', 'away']);
});
