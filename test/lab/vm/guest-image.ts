import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The guest's kernel and its root file system: Debian's cloud kernel, which `scripts/setup --vm` unpacks, and an
 * initramfs of busybox, the virtio modules and guest.c.
 */

const HERE = dirname(fileURLToPath(import.meta.url));
const CACHE = join(HERE, '..', '..', '..', 'node_modules', '.cache', 'marpd-lab');
const KERNEL = join(CACHE, 'guest-kernel');
const BUSYBOX = '/bin/busybox';

/** In the order in which they can be loaded. */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'failover',
  'net_failover',
  'virtio_net',
];

// What the kernel's command line says about addresses is in our environment.
const INIT = `#!/bin/busybox sh
export PATH=/
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in ${MODULES.join(' ')}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox ip link set lo up
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra
/bin/busybox ip link set eth0 up
IFS=,
for address in $ADDRESSES; do /bin/busybox ip address add $address dev eth0; done
/bin/busybox ip route add default via $GATEWAY
[ -z "$GATEWAY6" ] || /bin/busybox ip -6 route add default via $GATEWAY6 dev eth0
echo 0 >/proc/sys/net/ipv4/conf/eth0/arp_notify
/bin/busybox ping -q -c 1 -W 1 $GATEWAY >/dev/null 2>&1 &
[ -z "$GATEWAY6" ] || /bin/busybox ping -6 -q -c 1 -W 1 -I eth0 $GATEWAY6 >/dev/null 2>&1 &
exec /guest serve 7
`;

export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
}

/** Builds what is not built yet. @throws when the packages of `scripts/setup --vm` are missing */
export function guestImage(): GuestImage {
  if (!existsSync(join(KERNEL, 'vmlinuz')) || !existsSync(BUSYBOX)) {
    throw new Error('the guest has no kernel or no busybox: sudo scripts/setup --vm');
  }
  const modules = readdirSync(KERNEL).filter((name) => name.endsWith('.ko'));
  const absent = MODULES.filter((name) => !modules.includes(`${name}.ko`));
  if (absent.length > 0) throw new Error(`modules are missing in ${KERNEL}: ${absent.join(', ')}`);
  const archive = cpio([
    ['bin', DIRECTORY],
    ['modules', DIRECTORY],
    ['bin/busybox', PROGRAM, readFileSync(BUSYBOX)],
    ['guest', PROGRAM, readFileSync(guestTool(true))],
    ['init', PROGRAM, Buffer.from(INIT)],
    ...MODULES.map(
      (name): Entry => [`modules/${name}.ko`, PROGRAM, readFileSync(join(KERNEL, `${name}.ko`))],
    ),
    ['TRAILER!!!', 0],
  ]);
  const initramfs = join(CACHE, `guest-${digest(archive)}.cpio`);
  if (!existsSync(initramfs)) complete(initramfs, (unfinished) => writeFileSync(unfinished, archive));
  return { kernel: join(KERNEL, 'vmlinuz'), initramfs };
}

/** Compiles guest.c once per version of it; returns the program's path. */
export function guestTool(linkedStatically = false): string {
  const source = join(HERE, 'guest.c');
  const options = ['-O2', ...(linkedStatically ? ['-static'] : [])];
  const program = join(CACHE, `guest${linkedStatically ? '-static' : ''}-${digest(readFileSync(source))}`);
  if (!existsSync(program)) {
    complete(program, (unfinished) => {
      execFileSync('cc', [...options, '-o', unfinished, source], { stdio: ['ignore', 'inherit', 'inherit'] });
    });
  }
  return program;
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 12);
}

// Renamed when complete: another test may make the same at the same time.
function complete(path: string, make: (unfinished: string) => void): void {
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  make(unfinished);
  renameSync(unfinished, path);
}

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
type Entry = readonly [name: string, mode: number, bytes?: Buffer];

/** A "newc" cpio archive (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst). */
function cpio(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(([name, mode, bytes = Buffer.alloc(0)], index) => {
    const path = Buffer.from(`${name}\0`);
    const links = mode === DIRECTORY ? 2 : 1;
    const fields = [index + 1, mode, 0, 0, links, 0, bytes.length, 0, 0, 0, 0, path.length, 0];
    const head = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    return [padded(Buffer.concat([Buffer.from(`070701${head}`), path])), padded(bytes)];
  });
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
