import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';

/** One planted file: where, what is in it, and what the linter says about it (null: nothing). */
type Plant = readonly [path: string, source: string, complaint: RegExp | null];

const uses = (name: string, from: string) =>
  `import { ${name} } from '${from}';\nexport const used = ${name};\n`;
const usesType = (from: string) => `import type { T } from '${from}';\nexport type Used = T;\n`;

const plants: readonly Plant[] = [
  // Pure folders: no module of Node's, no package, no clock, no timer, no chance.
  ['src/page/clean.ts', usesType('../control/schemas.js') + uses('h', './dom.js'), null],
  ['src/page/outwards.ts', uses('x', '../wire/addresses.js'), /page\/ imports itself/],
  ['src/ui/outwards.ts', uses('x', '../kernel/kernel.js'), /Only daemon.ts/],
  ['src/wire/clean.ts', uses('b', './addresses.js'), null],
  ['src/wire/lisp/clean.ts', uses('b', '../addresses.js') + usesType('./address.js'), null],
  ['src/wire/lisp/upwards.ts', usesType('../../mobility/events.js'), /wire\/ imports nothing but itself/],
  ['src/wire/node-module.ts', uses('readFileSync', 'node:fs'), /wire\/ imports nothing but itself/],
  ['src/wire/node-type.ts', usesType('node:net'), /wire\/ imports nothing but itself/],
  ['src/wire/package.ts', uses('z', 'zod'), /wire\/ imports nothing but itself/],
  ['src/wire/upwards.ts', usesType('../mobility/events.js'), /wire\/ imports nothing but itself/],
  [
    'src/wire/reexport.ts',
    "export { x } from '../mobility/events.js';\n",
    /wire\/ imports nothing but itself/,
  ],
  [
    'src/wire/lazy.ts',
    "export const x = () => import('../kernel/x.js');\n",
    /wire\/ imports nothing but itself/,
  ],
  ['src/wire/hop.ts', uses('x', './../kernel/x.js'), /wire\/ imports nothing but itself/],
  ['src/wire/inline.ts', "export type T = import('../kernel/x.js').T;\n", /Write `import type` at the top/],
  ['src/wire/detour.ts', uses('x', './deep/../../kernel/x.js'), /goes down and up again/],
  ['src/wire/buffer.ts', 'export const x: unknown = Buffer.alloc(1);\n', /global variable Buffer/],
  ['src/wire/require.ts', "export const x = require('node:fs');\n", /Use ESM imports/],

  ['src/rate/upwards.ts', usesType('../mobility/events.js'), /rate\/ imports nothing but itself/],

  ['src/mobility/clean.ts', uses('b', '../wire/addresses.js') + usesType('./events.js'), null],
  ['src/mobility/own-process.ts', 'export const twice = (process: number) => process * 2;\n', null],
  ['src/mobility/node-module.ts', uses('hrtime', 'node:process'), /mobility\/ imports nothing but wire/],
  ['src/mobility/package.ts', uses('pino', 'pino'), /mobility\/ imports nothing but wire/],
  ['src/mobility/room.ts', uses('x', '../kernel/claims/claims.js'), /mobility\/ imports nothing but wire/],
  ['src/mobility/hall.ts', usesType('../config/config.js'), /mobility\/ imports nothing but wire/],
  ['src/mobility/host/deep.ts', uses('x', '../../kernel/kernel.js'), /mobility\/ imports nothing but wire/],
  ['src/mobility/host/fine.ts', uses('x', '../../wire/addresses.js') + usesType('../events.js'), null],
  // The frames of a family are its driver's.
  ['src/mobility/arp/driver.ts', uses('x', '../../wire/arp.js'), null],
  ['src/mobility/nd/driver.ts', uses('x', '../../wire/nd.js'), null],
  ['src/mobility/neighbour/driver.ts', uses('x', '../../wire/ethernet.js'), null],
  ['src/capture/family/arp.ts', uses('x', '../../wire/arp.js'), null],
  ['src/mobility/host/opcode.ts', uses('x', '../../wire/arp.js'), /Only a family's driver/],
  ['src/mobility/input/frame.ts', usesType('../../wire/rarp.js'), /Only a family's driver/],
  ['src/mobility/input/packet.ts', uses('x', '../../wire/ipv4.js'), /Only a family's driver/],
  ['src/mobility/input/solicit.ts', usesType('../../wire/nd.js'), /Only a family's driver/],
  ['src/mobility/input/listener.ts', usesType('../../wire/mld.js'), /Only a family's driver/],
  ['src/kernel/icmp.ts', usesType('../wire/icmpv6.js'), /Only a family's driver/],
  ['src/capture/overload/ether.ts', uses('x', '../../wire/ethernet.js'), /Only a family's driver/],
  ['src/mobility/detour.ts', uses('x', '../wire/../kernel/x.js'), /goes down and up again/],
  ['src/mobility/date.ts', 'export const now = () => Date.now();\n', /global variable Date/],
  ['src/mobility/new-date.ts', 'export const now = () => new Date();\n', /global variable Date/],
  [
    'src/mobility/performance.ts',
    'export const now = () => performance.now();\n',
    /global variable performance/,
  ],
  ['src/mobility/timeout.ts', 'setTimeout(() => {}, 1);\nexport {};\n', /global variable setTimeout/],
  ['src/mobility/interval.ts', 'setInterval(() => {}, 1);\nexport {};\n', /global variable setInterval/],
  ['src/mobility/immediate.ts', 'setImmediate(() => {});\nexport {};\n', /global variable setImmediate/],
  ['src/mobility/process.ts', 'export const now = () => process.hrtime();\n', /global variable process/],
  [
    'src/mobility/around.ts',
    'export const now = () => globalThis.Date.now();\n',
    /global variable globalThis/,
  ],
  ['src/mobility/chance.ts', 'export const dice = () => Math.random();\n', /No chance here/],
  ['src/mobility/console.ts', "console.log('x');\nexport {};\n", /global variable console/],

  // The machines of the mapping system are pure, and the files that connect them to the world are not.
  ['src/mapping/clean.ts', uses('b', '../wire/lisp/message.js') + usesType('../mobility/events.js'), null],
  ['src/mapping/node-module.ts', uses('hrtime', 'node:process'), /mapping\/ imports wire\//],
  ['src/mapping/room.ts', uses('x', '../kernel/kernel.js'), /mapping\/ imports wire\//],
  ['src/mapping/daemon.ts', uses('x', '../daemon.js'), /mapping\/ imports wire\//],
  ['src/mapping/value.ts', uses('x', '../mobility/host/host.js'), /Only types and the lists/],
  ['src/mapping/date.ts', 'export const now = () => Date.now();\n', /global variable Date/],
  ['src/mapping/chance.ts', 'export const dice = () => Math.random();\n', /No chance here/],
  ['src/mapping/socket.ts', uses('createSocket', 'node:dgram'), null],
  ['src/mapping/keys.ts', uses('createHmac', 'node:crypto'), null],
  ['src/mapping/mapping.ts', 'export const now = () => Date.now();\n', null],

  ['src/mobility/round.ts', uses('x', './trip.js'), /part of a cycle/],
  ['src/mobility/trip.ts', uses('x', './round.js'), /part of a cycle/],

  // Code at the edges of the program: the folders do not import one another, and take the types of mobility/ only.
  ['src/capture/clean.ts', uses('readFileSync', 'node:fs') + usesType('../mobility/host/host.js'), null],
  ['src/capture/overload/clean.ts', usesType('../../mobility/host/host.js'), null],
  ['src/capture/room.ts', usesType('../kernel/watch/links.js'), /capture\/ imports wire\//],
  ['src/capture/overload/room.ts', usesType('../../kernel/watch/links.js'), /capture\/ imports wire\//],
  ['src/capture/child-room.ts', uses('x', '../control/server.js'), /capture\/ imports wire\//],
  ['src/capture/value.ts', uses('x', '../mobility/host/host.js'), /Only types and the lists/],
  ['src/capture/overload/value.ts', uses('x', '../../mobility/host/host.js'), /Only types and the lists/],
  ['src/capture/reexport.ts', "export { x } from '../mobility/host/host.js';\n", /Only types and the lists/],
  ['src/kernel/clean.ts', uses('spawn', 'node:child_process'), null],
  ['src/kernel/claims/clean.ts', uses('x', '../ip/batch.js') + usesType('../../wire/addresses.js'), null],
  ['src/kernel/words.ts', uses('CAUSES', '../mobility/events.js'), null],
  ['src/kernel/claims/words.ts', uses('CAUSES', '../../mobility/events.js'), null],
  ['src/kernel/room.ts', uses('x', '../capture/capture.js'), /kernel\/ imports wire\//],
  ['src/kernel/ip/room.ts', uses('x', '../../capture/capture.js'), /kernel\/ imports wire\//],
  ['src/kernel/daemon.ts', uses('x', '../daemon.js'), /kernel\/ imports wire\//],
  ['src/kernel/value.ts', uses('x', '../mobility/host/host.js'), /Only types and the lists/],
  ['src/control/clean.ts', uses('z', 'zod') + usesType('../wire/addresses.js'), null],
  ['src/control/room.ts', usesType('../kernel/watch/links.js'), /control\/ imports wire\//],
  ['src/control/value.ts', uses('x', '../mobility/host/host.js'), /Only types and the lists/],
  ['src/elsewhere/new.ts', uses('x', '../wire/arp.js'), /An unknown folder/],

  // One file imports cap, and few start processes.
  ['src/capture/reader.ts', "import cap from 'cap';\nexport const x = cap;\n", null],
  ['src/capture/cap.ts', "import cap from 'cap';\nexport const x = cap;\n", /Only src\/capture\/reader\.ts/],
  ['src/kernel/cap.ts', usesType('cap'), /Only src\/capture\/reader\.ts/],
  ['src/control/cap.ts', uses('x', 'cap/lib/Cap.js'), /Only src\/capture\/reader\.ts/],
  ['src/control/lazy-cap.ts', "export const x = () => import('cap');\n", /Only src\/capture\/reader\.ts/],
  ['src/capture/supervisor.ts', uses('fork', 'node:child_process'), null],
  ['src/capture/spawn.ts', uses('fork', 'node:child_process'), /start processes/],
  ['src/control/spawn.ts', uses('spawn', 'node:child_process'), /start processes/],
  ['src/control/bare.ts', uses('spawn', 'child_process'), /start processes/],

  // The daemon joins the folders; the files that only show or read values do not.
  [
    'src/daemon.ts',
    uses('a', './kernel/watch/links.js') + uses('b', './capture/capture.js').replace('used', 'too'),
    null,
  ],
  ['src/main.ts', "import cap from 'cap';\nexport const x = cap;\n", /Only src\/capture\/reader\.ts/],
  ['src/ctl.ts', uses('x', './kernel/watch/links.js'), /Only daemon\.ts, api\.ts, marpd\.ts/],
  ['src/cli/spawn.ts', uses('spawn', 'node:child_process'), /start processes/],
  ['src/observe/log.ts', usesType('../mobility/events.js'), null],
  ['src/observe/metrics.ts', uses('x', '../kernel/kernel.js'), /Only daemon\.ts, api\.ts, marpd\.ts/],
  ['src/config/config.ts', uses('x', '../capture/capture.js'), /Only daemon\.ts, api\.ts, marpd\.ts/],
];

const root = resolve(import.meta.dirname, '../..');

/** Lints a tree that has nothing but the planted files and this repository's rules; complaints by path. */
function lint(tree: string): Map<string, string[]> {
  for (const part of ['biome.jsonc', '.gitignore', 'scripts/lint']) {
    cpSync(join(root, part), join(tree, part), { recursive: true });
  }
  for (const [path, source] of plants) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), source);
  }
  const run = spawnSync(
    join(root, 'node_modules/.bin/biome'),
    ['lint', '--reporter=json', '--max-diagnostics=none', '--colors=off'],
    { cwd: tree, encoding: 'utf8' },
  );
  const report: { diagnostics: { location: { path: string }; message: string }[] } = JSON.parse(run.stdout);
  const complaints = new Map<string, string[]>();
  for (const { location, message } of report.diagnostics) {
    const path = relative(tree, resolve(tree, location.path));
    complaints.set(path, [...(complaints.get(path) ?? []), message]);
  }
  return complaints;
}

describe('the linter keeps the boundaries between the folders', () => {
  let tree: string;
  let complaints: Map<string, string[]>;
  before(() => {
    tree = mkdtempSync(join(tmpdir(), 'marpd-boundaries-'));
    complaints = lint(tree);
  });
  after(() => rmSync(tree, { recursive: true }));

  for (const [path, , complaint] of plants) {
    it(complaint === null ? `${path} passes` : `${path} is refused: ${complaint.source}`, () => {
      const said = complaints.get(path) ?? [];
      if (complaint === null) assert.deepEqual(said, []);
      else assert.match(said.join('\n'), complaint);
    });
  }

  it('reports nothing but the planted files', () => {
    const planted = new Set(plants.map(([path]) => path));
    assert.deepEqual(
      [...complaints.keys()].filter((path) => !planted.has(path)),
      [],
    );
  });
});
