import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { test } from 'node:test';

/**
 * The repository cites nothing but itself and public standards: each `design.md 3.2` and each `C5` in it is a heading of
 * docs/design.md, and each link between its pages has a target.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const SELF = 'test/unit/citations.test.ts';

interface Line {
  readonly file: string;
  readonly number: number;
  readonly text: string;
}

/** The files of the repository at or below these paths, relative to its root. */
function files(...paths: string[]): string[] {
  return paths
    .flatMap((path) =>
      statSync(join(ROOT, path)).isFile()
        ? [path]
        : readdirSync(join(ROOT, path), { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
    )
    .filter((name) => name !== SELF && !/\.(svg|webp)$/.test(name));
}

function lines(names: readonly string[]): Line[] {
  return names.flatMap((file) =>
    readFileSync(join(ROOT, file), 'utf8')
      .split('\n')
      .map((text, i) => ({ file, number: i + 1, text })),
  );
}

/** What `pattern` matches, with the place of each match. */
function matches(all: readonly Line[], pattern: RegExp): { readonly what: string; readonly where: string }[] {
  return all.flatMap(({ file, number, text }) =>
    [...text.matchAll(pattern)].map((match) => ({ what: match[1] ?? match[0], where: `${file}:${number}` })),
  );
}

/** Names of the sections: `1`, `3.2`, `C5`. */
function sections(): Set<string> {
  const names = readFileSync(join(ROOT, 'docs/design.md'), 'utf8').matchAll(
    /^#+ (C\d+|\d+(?:\.\d+)?)\b\.? /gm,
  );
  return new Set([...names].map(([, name]) => name as string));
}

const EVERYWHERE = ['src', 'test', 'config', 'scripts', 'docs', 'README.md', 'CHANGELOG.md', 'biome.jsonc'];

test('each section of docs/design.md that is cited exists', () => {
  const known = sections();
  const all = lines(files(...EVERYWHERE));
  const cited = [
    ...matches(all, /design\\?\.md (C\d+|\d+(?:\\?\.\d+)?)/g),
    ...matches(all, /(?<![\w.#-])(C\d{1,2})(?![\w.]*\w)/g),
  ].map(({ what, where }) => ({ what: what.replace('\\', ''), where }));
  assert.ok(cited.length > 100, 'the patterns match no citation any more');
  const missing = cited.filter(({ what }) => !known.has(what));
  assert.deepEqual(missing, []);
});

test('nothing outside of the repository is cited', () => {
  const foreign = matches(
    lines(files(...EVERYWHERE)),
    /\bDESIGN\b|\bSTYLE \d+|\b[Ii]ssues? #?\d+\b|\(#\d+\)|\bfarm-\w+|\/work\/\w+|\/tmp\/w\//g,
  );
  assert.deepEqual(foreign, []);
});

test('each link from a page of the repository to a file of it has a target', () => {
  const pages = files('docs', 'README.md', 'CHANGELOG.md').filter((name) => name.endsWith('.md'));
  const missing = lines(pages).flatMap(({ file, number, text }) =>
    [...text.matchAll(/\]\((?![a-z]+:)([^)\s#]*)(#[^)\s]*)?\)/g)].flatMap(([, target = '', anchor]) => {
      const path = target === '' ? join(ROOT, file) : resolve(join(ROOT, file), '..', target);
      return hasTarget(path, anchor) ? [] : [`${file}:${number}: ${target}${anchor ?? ''}`];
    }),
  );
  assert.deepEqual(missing, []);
});

test('each file of the repository that a page names exists', () => {
  const pages = files('docs', 'README.md', 'CHANGELOG.md').filter((name) => name.endsWith('.md'));
  const named = matches(lines(pages), /(?<![\w./-])((?:src|test|scripts|config|docs)\/[\w./-]*[\w/])/g);
  assert.ok(named.length > 50, 'the pattern matches no path any more');
  assert.deepEqual(
    named.filter(({ what }) => !existsSync(join(ROOT, what))),
    [],
  );
});

function hasTarget(path: string, anchor: string | undefined): boolean {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR' && anchor === undefined;
  }
  return anchor === undefined || !path.endsWith('.md') || anchors(content).has(anchor.slice(1));
}

/** The anchors that a forge makes of headings. */
function anchors(content: string): Set<string> {
  const headings = [...content.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading as string);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}
