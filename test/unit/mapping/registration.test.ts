import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  REGISTRATION_INPUTS,
  REGISTRATION_STATES,
  REGISTRATION_TABLE,
  stepRegistration,
} from '../../../src/mapping/client/registration.js';

describe('the machine of a registration', () => {
  it('an input that is not in the table is ignored', () => {
    for (const state of REGISTRATION_STATES)
      for (const input of REGISTRATION_INPUTS)
        assert.equal(stepRegistration(state, input), REGISTRATION_TABLE[state][input] ?? state);
  });
  it('each state and each input occurs', () => {
    const rows = REGISTRATION_STATES.flatMap((state) => Object.entries(REGISTRATION_TABLE[state]));
    assert.deepEqual(new Set(['unsent', ...rows.map(([, to]) => to)]), new Set<string>(REGISTRATION_STATES));
    assert.deepEqual(new Set(rows.map(([input]) => input)), new Set<string>(REGISTRATION_INPUTS));
  });
  it('a new claim leads to asking from everywhere, and what was lost is not withdrawn', () => {
    for (const state of REGISTRATION_STATES)
      if (state !== 'gone') assert.equal(stepRegistration(state, 'claim'), 'asking');
    assert.equal(stepRegistration('lost', 'release'), 'gone');
    assert.equal(stepRegistration('asking', 'told-other'), 'asking', 'only the answer counts');
  });
});
