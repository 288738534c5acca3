/** The state machine of one registration at one map-server. The table is the code: an input that is not in it is ignored. */

/**
 * unsent       a claim of an earlier run: waits a moment for what the server publishes
 * asking       to be registered, until the server answers
 * held         the server says that it is ours; refreshed
 * refused      the server took the message, but not this record
 * lost         another router registered it since
 * withdrawing  to be withdrawn, until the server answers
 * gone         nothing is left to do
 */
export const REGISTRATION_STATES = [
  'unsent',
  'asking',
  'held',
  'refused',
  'lost',
  'withdrawing',
  'gone',
] as const;
export type RegistrationState = (typeof REGISTRATION_STATES)[number];

export const REGISTRATION_INPUTS = [
  'claim', // of ours: a new version
  'release',
  'sent',
  'accepted', // the answer to our last message: it is ours
  'other-owner', // the answer: it is another router's
  'absent', // the answer does not name it
  'told-other', // a publication: it is another router's
  'told-own',
  'server-back', // it was away, and may have forgotten
  'given-up', // repeated often enough
] as const;
export type RegistrationInput = (typeof REGISTRATION_INPUTS)[number];

export const REGISTRATION_TABLE: Readonly<
  Record<RegistrationState, Readonly<Partial<Record<RegistrationInput, RegistrationState>>>>
> = {
  unsent: { claim: 'asking', sent: 'asking', 'told-other': 'lost', release: 'withdrawing' },
  // A publication may have left the server before our message arrived: only the answer counts.
  asking: {
    claim: 'asking',
    accepted: 'held',
    absent: 'refused',
    'other-owner': 'lost',
    release: 'withdrawing',
  },
  held: {
    claim: 'asking',
    accepted: 'held',
    absent: 'refused',
    'other-owner': 'lost',
    'told-other': 'lost',
    release: 'withdrawing',
    'server-back': 'asking',
  },
  refused: {
    claim: 'asking',
    accepted: 'held',
    'other-owner': 'lost',
    release: 'withdrawing',
    'server-back': 'asking',
  },
  // There is nothing to withdraw: the server knows another owner (RFC 9301 has the last registration win).
  lost: { claim: 'asking', accepted: 'held', 'told-own': 'held', release: 'gone' },
  withdrawing: {
    claim: 'asking',
    accepted: 'gone',
    absent: 'gone',
    'other-owner': 'gone',
    'given-up': 'gone',
  },
  gone: {},
};

export function stepRegistration(state: RegistrationState, input: RegistrationInput): RegistrationState {
  return REGISTRATION_TABLE[state][input] ?? state;
}
