// Compiles node_modules/cap with -DNDEBUG and scripts/cap-build.h. Runs after `npm ci` / `npm install` (package.json: postinstall).
//
// cap 0.2.1 has an assert(status == 0) in its poll callback. It fires, and ends the whole process uncatchably,
// whenever a captured interface is set down, flapped or deleted; taps appear and vanish all day. Without the
// assert the handle merely goes deaf, which marpd notices and repairs by opening it again.
//
// cap-build.h mends nine more things in which cap is made for a sniffer and not for a daemon; it says which.
//
// cap's own install script knows no such switch. npm 11 does not run it (package.json: allowScripts), npm 10
// does; either way this step has the last word, and marpd checks the binary when it starts (src/capture/cap-build.ts).

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const capRoot = dirname(require.resolve('cap/package.json'));
const binary = join(capRoot, 'build', 'Release', 'cap.node');

// Every assert that is compiled in calls __assert_fail, so its name stands among the dynamic symbols.
const hasAsserts = () => readFileSync(binary).includes('__assert_fail');

// The header leaves its number in the binary, so that one built without it, or with an older one, is built anew.
const header = join(import.meta.dirname, 'cap-build.h');
const marker = /marpd-cap-build-\d+/.exec(readFileSync(header, 'utf8'))?.[0];
if (marker === undefined) throw new Error(`${header} has no number`);
const isOurs = () => readFileSync(binary).includes(marker);

// A binary made for another Node version does not load; ask a child, a bad binary may take its process along.
const loads = () => spawnSync(process.execPath, ['-e', `require(${JSON.stringify(binary)})`]).status === 0;

if (existsSync(binary) && !hasAsserts() && isOurs() && loads()) {
  process.exit(0);
}

if (!['/usr/include/pcap/pcap.h', '/usr/local/include/pcap/pcap.h'].some((header) => existsSync(header))) {
  console.error('marpd: the libpcap headers are missing. On Debian: apt-get install libpcap-dev');
  process.exit(1);
}

// npm names the node-gyp it ships with; by hand, run this as `npm run build:native`.
const nodeGyp = process.env.npm_config_node_gyp;
if (nodeGyp === undefined) {
  console.error('marpd: run this step through npm: npm run build:native');
  process.exit(1);
}

const built = spawnSync(process.execPath, [nodeGyp, 'rebuild'], {
  cwd: capRoot,
  env: { ...process.env, CXXFLAGS: `${process.env.CXXFLAGS ?? ''} -DNDEBUG -include ${header}`.trim() },
  encoding: 'utf8',
  maxBuffer: 1 << 26,
});
if (built.status !== 0) {
  console.error(`${built.error ?? ''}${built.stdout ?? ''}${built.stderr ?? ''}`);
  console.error('marpd: cap could not be compiled. It needs g++, make, python3 and libpcap-dev.');
  process.exit(1);
}
if (hasAsserts() || !isOurs()) {
  console.error(`marpd: ${binary} does not show the flags that it was built with`);
  process.exit(1);
}
if (!loads()) {
  console.error(`marpd: ${binary} was built but does not load; is libpcap (libpcap0.8) installed?`);
  process.exit(1);
}
console.log('marpd: cap built without assertions');
