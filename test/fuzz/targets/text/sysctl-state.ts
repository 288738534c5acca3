import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { INTERFACE_SYSCTLS, Sysctls } from '../../../../src/kernel/sysctl.js';
import { type Target, scratch } from '../../engine/target.js';

/** `sysctl.state`: whatever stands in it, restoring touches the settings of design.md 3.2 and nothing else. */

const directory = scratch('state');
const root = join(directory, 'proc');
const stateFile = join(directory, 'sysctl.state');
const OURS = new Set(INTERFACE_SYSCTLS.map(({ key }) => key));
const LINKS = [
  { name: 'lan0', index: 10 },
  { name: 'lan1', index: 11 },
];
/** Of a real /proc/sys, each with the value 1. */
const SETTINGS = [
  'net/ipv4/ip_forward',
  'net/ipv4/tcp_syncookies',
  'net/ipv4/ip_default_ttl',
  ...['all', 'default', 'lan0', 'lan1'].flatMap((name) =>
    [...OURS, 'rp_filter', 'accept_redirects'].map((key) => `net/ipv4/conf/${name}/${key}`),
  ),
];

for (const path of SETTINGS) mkdirSync(join(root, path, '..'), { recursive: true });
const before = new Map<string, string>();
function reset(): void {
  for (const path of SETTINGS) if (before.get(path) !== '1') writeFileSync(join(root, path), '1');
}
function look(): void {
  for (const path of SETTINGS) before.set(path, readFileSync(join(root, path), 'latin1').trim());
}

const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
const line = (fields: object) => `${JSON.stringify(fields)}\n`;

export const target: Target = {
  covers: ['src/kernel/sysctl.ts', 'src/kernel/sysctl-state.ts'],
  maxBytes: 2000,
  words: [
    ...SETTINGS,
    'net/ipv4/conf/',
    '/../',
    '..',
    '{"path":"',
    '","original":',
    ',"ours":',
    ',"index":',
    '\n',
    ',"forgotten":true',
  ],
  seeds: () => [
    line({ path: 'net/ipv4/conf/lan0/arp_ignore', original: 0, ours: 1, index: 10 }),
    line({ path: 'net/ipv4/ip_forward', original: 0, ours: 1, index: 0 }) +
      line({ path: 'net/ipv4/conf/all/proxy_arp', original: 0, ours: 1, index: 0 }) +
      line({ path: 'net/ipv4/conf/all/proxy_arp', forgotten: true }),
  ],
  run(input) {
    reset();
    writeFileSync(stateFile, Buffer.concat([Buffer.from(`${bootId}\n`), input]));
    const warnings: string[] = [];
    const settings = new Sysctls({
      mode: 'apply',
      stateFile,
      indexOf: (name) => LINKS.find((link) => link.name === name)?.index,
      onWarning: (message) => warnings.push(message),
      root,
    });
    settings.takeOver();
    settings.applyGlobal();
    settings.apply(...LINKS);
    settings.restoreInterface(LINKS[1] as (typeof LINKS)[0]);
    settings.interfaceGone(11);
    settings.restore({ keepForwarding: input.length % 2 === 0 });
    look();
    for (const [path, value] of before) {
      const key = path.slice(path.lastIndexOf('/') + 1);
      const ours = path === 'net/ipv4/ip_forward' || (OURS.has(key) && path.split('/').length === 5);
      if (!ours) assert.equal(value, '1', `${path} is none of ours`);
      else assert.match(value, /^-?\d{1,10}$/, path);
    }
    assert.deepEqual(readdirSync(root), ['net']);
    assert.ok(warnings.length <= input.length + 1);
  },
  close: () => rmSync(directory, { recursive: true, force: true }),
};
