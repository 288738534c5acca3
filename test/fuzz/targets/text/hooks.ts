import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Choices, type Target, scratch } from '../../engine/target.js';

/**
 * What libvirt and Proxmox hand to the hooks: XML, the configuration of a guest, lines of events, and names in them. The
 * hooks are shell and awk, so nothing measures their branches here. Whatever comes, they end with 0, print nothing, run
 * nothing of it, write no file but their own, and send only well-formed requests.
 */

const root = resolve('.');
const directory = scratch('hooks');
const sent = join(directory, 'sent');
const guests = join(directory, 'guests');
const pve = join(directory, 'pve', 'qemu-server');
const canary = join(directory, 'work', 'canary');
mkdirSync(join(directory, 'work'), { recursive: true });
mkdirSync(pve, { recursive: true });

function standIn(name: string, script: string): void {
  writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(directory, name), 0o755);
}

standIn('curl', `for word; do printf '%s\\0' "$word"; done >>${sent}`);
standIn('logger', 'exit 0');
standIn('virsh', 'exit 0');
writeFileSync(join(directory, 'addresses'), '52:54:00:0a:01:05 10.1.1.5, 10.1.1.15\n');
writeFileSync(
  join(directory, 'hook.conf'),
  [
    `curl=${directory}/curl`,
    `guests=${guests}`,
    `addresses=${directory}/addresses`,
    `guest_conf=${pve}`,
    `net=${directory}/net`,
    `hook=${root}/config/libvirt/qemu`,
    `virsh=${directory}/virsh`,
  ].join('\n'),
);

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const PHASES = ['start', 'begin', 'stopped', 'end', 'release', 'migrate', 'reconnect', 'attach'];

interface Call {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: Uint8Array;
}

function callOf(input: Uint8Array): Call {
  const from = new Choices(input);
  const kind = from.byte() % 4;
  if (kind === 0) return { program: 'config/libvirt/marpd-events', args: ['-'], input: from.take(from.left) };
  // No name has a zero byte in it.
  const name = Buffer.from(from.take(from.byte() % 20))
    .toString('latin1')
    .replaceAll('\0', '');
  if (kind === 1) {
    writeFileSync(join(pve, '100.conf'), from.take(from.left));
    const args = ['100', from.pick(['post-start', 'post-stop'])];
    return { program: 'config/proxmox/marpd-hookscript', args, input: new Uint8Array(0) };
  }
  const phase = from.byte() % 2 === 0 ? ['start', 'begin'] : [from.pick(PHASES), from.pick(PHASES)];
  return { program: 'config/libvirt/qemu', args: [name, ...phase, '-'], input: from.take(from.left) };
}

function checkBody(text: string): void {
  const body = JSON.parse(text) as Record<string, unknown>;
  const { mac, interface: dev, ip, ...rest } = body;
  assert.deepEqual(rest, {}, text);
  assert.match(String(mac), MAC);
  assert.match(String(dev), /^[A-Za-z0-9_.-]+$/);
  assert.ok(ip === undefined || (Array.isArray(ip) && ip.every((one) => /^[0-9a-fA-F:.]+$/.test(one))), text);
}

export const target: Target = {
  covers: [],
  maxBytes: 3000,
  slowMs: 3000,
  words: [
    '<',
    '>',
    '/>',
    '"',
    "'",
    '$(touch canary)',
    '`touch canary`',
    ';touch canary;',
    '\n',
    '*',
    '..',
    '/',
    '-d',
    '\\',
    '<interface type="ethernet">',
    '</interface>',
    '<mac address="52:54:00:0a:01:05"/>',
    '<target dev="tap0"/>',
    '<parameter name="IP" value="10.1.1.5"/>',
    'net0: virtio=BC:24:11:0A:01:05,bridge=vmbr0,tag=5',
    'ipconfig0: ip=10.1.1.5/24',
    "event 'lifecycle' for domain 'guest1': Resumed Migrated",
  ],
  seeds: () => {
    const xml = readFileSync(join(root, 'test/unit/recorded/libvirt-running.xml'));
    const conf = readFileSync(join(root, 'test/unit/recorded/proxmox-100.conf'));
    return [
      Buffer.concat([Buffer.from([2, 1, 103, 0]), xml]),
      Buffer.concat([Buffer.from([1, 0]), conf]),
      Buffer.concat([
        Buffer.from([0]),
        Buffer.from("2026-11-23 09:00:00.123+0000: event 'lifecycle' for domain 'g': Resumed Migrated\n"),
      ]),
    ];
  },
  run(input) {
    rmSync(guests, { recursive: true, force: true });
    writeFileSync(sent, '');
    const { program, args, input: stdin } = callOf(input);
    const answer = spawnSync(join(root, program), args, {
      input: stdin,
      cwd: join(directory, 'work'),
      env: { PATH: `${directory}:/usr/bin:/bin`, MARPD_HOOK_CONF: join(directory, 'hook.conf') },
      timeout: 10_000,
    });
    const said = { status: answer.status, stdout: String(answer.stdout), stderr: String(answer.stderr) };
    assert.deepEqual(said, { status: 0, stdout: '', stderr: '' });
    assert.ok(!existsSync(canary), 'ran what it was given');
    assert.deepEqual(readdirSync(join(directory, 'work')), []);
    const words = readFileSync(sent, 'latin1').split('\0');
    for (const [at, word] of words.entries()) if (word === '-d') checkBody(words[at + 1] ?? '');
    assert.ok(!existsSync(guests) || readdirSync(guests).length <= 1);
  },
  close: () => rmSync(directory, { recursive: true, force: true }),
};
