import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configForInterfaces } from '../../../src/config/config.js';
import { WARM_UP_INTERFACES, warmUp } from '../../../src/mobility/warm-up.js';

/** Home, a move, a return, and another router. */
const LIFE = ['proving', 'home', 'fresh', 'settled', 'fresh', 'settled', 'away'];

test('the warm-up leads a host of each family that is served through a life', () => {
  assert.deepEqual(warmUp(configForInterfaces(WARM_UP_INTERFACES).policy), [LIFE]);
  assert.deepEqual(warmUp(configForInterfaces(WARM_UP_INTERFACES, ['ipv6']).policy), [LIFE]);
  assert.deepEqual(warmUp(configForInterfaces(WARM_UP_INTERFACES, ['ipv4', 'ipv6']).policy), [LIFE, LIFE]);
});
