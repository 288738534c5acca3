import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { test } from 'node:test';

/**
 * One vocabulary: what the field has a term for is called by that term (docs/glossary.md). An earlier edition had names of
 * its own; none of them comes back, in a name, a comment, a message or a page.
 */

const ROOT = resolve(import.meta.dirname, '../..');

/** A word, in any inflection, and the term that says it. Words of a name count one by one: `strayWatch` has `stray`. */
const WORDS: Readonly<Record<string, string>> = {
  'brains?': 'tracker, or the machine that is meant',
  'halls?': 'daemon.ts',
  'houses?': 'the program, or the architecture',
  'doors?': 'control API, or the boundary that is meant',
  'heed(s|ed)?': 'endSuppression',
  'obey(s|ed)?': 'apply, carry out',
  'verdicts?': 'timeout, result, outcome',
  'mourn(s|ed)?': 'onExit',
  'bur(y|ies|ied)': 'removeIfIdle, failOutstanding',
  'stillbirths?': 'start failure',
  impatience: 'kill timer',
  mortal: 'with death signal',
  'lifelines?': 'IPC channel',
  'outbox(es)?': 'send queue',
  'absorb(s|ed|ers?|ing)?': 'suppress, refresh filter',
  familiarity: 'sender class',
  'acquaintances?': 'known hosts',
  'strangers?': 'unknown or unproven host',
  'mute[ds]?': 'excluded flow',
  'talkers?': 'flow',
  'sift(s|ed|ing)?': 'filter',
  'naps?': 'sleep',
  weather: 'storm mode',
  'crowd(s|ed|ing)?': 'overflow, storm',
  'strays?': 'misdirected packet, stale neighbour',
  'ghosts?': 'stuck route',
  'inquir(y|ies)': 'RARP look-up',
  'hush(ed)?': 'announceNotBefore',
  'insist(s|ed)?': 'retry fresh',
  'disputes?|disputed': 'contest',
  'seek(s|ers?|ing)?': 'look up, waiting host',
  'hasten(s|ed)?': 'expedite',
  'mistrust(s|ed)?': 'resync',
  doubtful: 'unverified',
  'clash(es)?': 'conflict',
  owed: 'awaiting acknowledgement',
  'appoint(s|ed)?': 'activate',
  'relieve[sd]?': 'rotate',
  'welcomes?': 'onRestarted',
  'blame[sd]?': 'attribute the error',
  'complaints?': 'stderr, error text',
  'hurr(y|ies|ied)': 'raise priority',
  'judge[sd]?': 'check, classify',
  'rooms?': 'the part of the program that is meant',
  'lanes?': 'queue',
};

/** Names on the surface (configuration, API, metrics) that stay, and ordinary English. */
const FINE: readonly RegExp[] = [
  /\bno-room\b/g,
  /\broom (for|to)\b/g,
  /\binquiry(-limit|_candidates)\b/g,
  /marpd_frames_absorbed_total/g,
];

function files(...paths: string[]): string[] {
  return paths
    .flatMap((path) =>
      statSync(join(ROOT, path)).isFile()
        ? [path]
        : readdirSync(join(ROOT, path), { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
    )
    .filter((name) => !/\.(svg|webp)$/.test(name) && !name.includes('__pycache__'));
}

/** `strayWatch` is "stray Watch", `STRAY_MS` "STRAY MS". */
function wordsOf(line: string): string[] {
  return line.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? [];
}

const PATTERN = new RegExp(`^(?:${Object.keys(WORDS).join('|')})$`, 'i');
const termFor = (word: string): string =>
  Object.entries(WORDS).find(([pattern]) => new RegExp(`^(?:${pattern})$`, 'i').test(word))?.[1] ?? '';

function findings(text: string): string[] {
  const plain = FINE.reduce((rest, pattern) => rest.replace(pattern, ''), text);
  return wordsOf(plain).filter((word) => PATTERN.test(word));
}

test('no name, comment, message or page has a word of the earlier edition', () => {
  const clean = files('src', 'config', 'scripts', 'docs', 'README.md', 'CHANGELOG.md');
  const found = clean.flatMap((name) =>
    readFileSync(join(ROOT, name), 'utf8')
      .split('\n')
      .flatMap((line, i) =>
        findings(line).map((word) => `${name}:${i + 1}: ${word}: better ${termFor(word)}`),
      ),
  );
  assert.deepEqual(found, []);
});

test('words are found within names and in any case', () => {
  assert.deepEqual(findings('const strayWatch = GHOST_MS; // the kernel room'), ['stray', 'GHOST', 'room']);
  assert.deepEqual(findings('cause no-room: there is no room for more; restrain the burial-ground'), []);
});
