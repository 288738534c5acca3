import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What scripts/cap-build.h leaves in a binary: without that header cap is slow, greedy for memory, and crashes.
 * Number 2 cannot tell when a frame came; 2 and 3 read 128 bytes of a frame at most, two groups of an MLD report. */
const CAP_BUILD = /marpd-cap-build-4/;

/** The compiled half of `cap`. Throws when the package is not installed at all. */
export function capBinary(): string {
  const manifest = createRequire(import.meta.url).resolve('cap/package.json');
  const build = join(dirname(manifest), 'build');
  // A Debian package has one for each Node that it may meet, a checkout one for its own.
  const packaged = join(build, process.versions.modules, 'cap.node');
  return existsSync(packaged) ? packaged : join(build, 'Release', 'cap.node');
}

/**
 * Says whether `cap` can be trusted with an interface that may go down: built with assertions it aborts the process
 * at that moment (scripts/build-native.mjs explains it), and so does every reader that replaces it.
 *
 * The binary itself is asked, without loading it. An assertion that is compiled in calls `__assert_fail`, which
 * therefore stands in its dynamic string table, stripped or not; with NDEBUG nothing refers to it.
 */
export function checkCapBuild(binary?: string): { ok: true } | { ok: false; reason: string } {
  let path = binary;
  let image: Buffer;
  try {
    path ??= capBinary();
    image = readFileSync(path);
  } catch (error) {
    const what = path === undefined ? 'the package cap is not installed' : `cannot read ${path}`;
    const remedy = `run npm ci, or use Node 20, 22 or 24 with the Debian package (this is ${process.version})`;
    return { ok: false, reason: `${what} (${(error as NodeJS.ErrnoException).code}): ${remedy}` };
  }
  if (image.toString('latin1', 0, 4) !== '\x7fELF' || !image.includes('pcap_dispatch')) {
    return { ok: false, reason: `${path} is not a compiled cap: run npm ci` };
  }
  if (image.includes('__assert_fail')) {
    return {
      ok: false,
      reason: `${path} was built with assertions and would abort when an interface goes down: run npm run build:native`,
    };
  }
  if (!CAP_BUILD.test(image.toString('latin1'))) {
    return { ok: false, reason: `${path} was built without scripts/cap-build.h: run npm run build:native` };
  }
  return { ok: true };
}
