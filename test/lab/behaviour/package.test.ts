import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { SITE_CONFIG, debianPackage } from '../kit/debian-package.js';
import { labTest } from '../kit/lab-test.js';
import { CommandFailed, type Lab, type Namespace, run } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import { Site } from '../kit/site.js';

/** The Debian package: installed in a root of its own, upgraded, run, removed and purged; nothing of it stays. */

const ROOTS = '/var/cache/marpd-setup/roots';
const PACKAGE = debianPackage();
const built = dirname(PACKAGE);
/** The same with the next version number. */
const NEXT = join(built, 'next.deb');
run([
  'sh',
  '-ec',
  `dpkg-deb -R ${PACKAGE} ${built}/next && sed -i 's/^Version: .*/&.1/' ${built}/next/DEBIAN/control
  dpkg-deb -Znone --root-owner-group -b ${built}/next ${NEXT} && rm -r ${built}/next`,
]);

test('lintian finds no error', () => {
  const { status, stdout, stderr } = spawnSync('lintian', ['--fail-on', 'error', PACKAGE], {
    encoding: 'utf8',
    // It leaves files there.
    env: { ...process.env, TMPDIR: dirname(PACKAGE) },
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

/** A Debian with what a test changes in it kept apart; mounted anew by each command that runs in it. */
class Debian {
  readonly upper: string;
  readonly #script: string;

  constructor(
    lab: Lab,
    readonly namespace: Namespace,
    suite: string,
  ) {
    const at = (part: string) => join(lab.directory, `${suite}-${part}`);
    this.upper = at('upper');
    for (const part of ['upper', 'work', 'root']) mkdirSync(at(part));
    this.#script = `
      mount -t overlay overlay -o lowerdir=${ROOTS}/${suite},upperdir=${at('upper')},workdir=${at('work')} ${at('root')}
      mount --bind /proc ${at('root')}/proc
      mount --bind /dev ${at('root')}/dev
      exec chroot ${at('root')} /bin/sh -ec "$0"`;
  }

  /** For `ip netns exec`, which has mounts of its own: they are gone when the command ends. */
  argv(script: string): string[] {
    return [
      'env',
      '-u',
      'NODE_EXTRA_CA_CERTS',
      'DEBIAN_FRONTEND=noninteractive',
      'LC_ALL=C',
      'sh',
      '-ec',
      this.#script,
      script,
    ];
  }

  run(script: string): string {
    return run(this.namespace.argv(...this.argv(script)), '', 60_000);
  }

  put(path: string, content: string | Uint8Array): void {
    mkdirSync(join(this.upper, path, '..'), { recursive: true });
    writeFileSync(join(this.upper, path), content);
  }

  /** Files that are new or changed, but for the books of dpkg, apt and passwd. */
  changed(): string[] {
    const books =
      /^(var\/(lib\/(dpkg|apt)|log|cache)\/|etc\/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc\/\.pwd\.lock$)/;
    return run(['find', this.upper, '-type', 'f', '-printf', '%P\\n'])
      .split('\n')
      .filter((path) => path !== '' && !books.test(path));
  }
}

for (const [suite, release] of [
  ['bookworm', 'Debian 12 with Node 22'],
  ['trixie', 'Debian 13'],
] as const) {
  labTest(
    `${release}: the package is installed, serves a host, is upgraded, removed and purged`,
    async (lab) => {
      const site = new Site(lab);
      const debian = new Debian(lab, site.router, suite);
      debian.put('marpd.deb', readFileSync(PACKAGE));
      debian.put('next.deb', readFileSync(NEXT));
      debian.run('apt-get install -y --no-install-recommends ./marpd.deb');
      assert.match(debian.run('marpctl --version; id marpd'), /^marpctl .*\nuid=\d+\(marpd\)/);
      debian.run('test ! -e /etc/systemd/system/multi-user.target.wants/marpd.service');
      debian.put('etc/marpd/marpd.toml', SITE_CONFIG);
      assert.match(debian.run('marpd --config /etc/marpd/marpd.toml --check'), /: ok$/m);

      await serve(site, debian);

      debian.run('apt-get install -y --no-install-recommends ./next.deb');
      assert.equal(debian.run('cat /etc/marpd/marpd.toml'), SITE_CONFIG, 'an edited file stays');
      assert.match(debian.run("dpkg-query -W -f '${Version}' marpd"), /\.1$/);
      debian.run('apt-get remove -y marpd');
      assert.throws(() => debian.run('test -e /usr/lib/marpd'), CommandFailed);
      assert.equal(debian.run('cat /etc/marpd/marpd.toml'), SITE_CONFIG);
      debian.run('apt-get purge -y marpd; rm /marpd.deb /next.deb; ! id marpd 2>/dev/null');
      assert.deepEqual(debian.changed(), []);
      assert.throws(() => debian.run('ls -d /etc/marpd /run/marpd'), CommandFailed);
    },
    120_000,
  );
}

/** The daemon of the package, by hand, learns a visitor. */
async function serve(site: Site, debian: Debian): Promise<void> {
  const marpd = new Program(site.router, debian.argv('exec marpd --config /etc/marpd/marpd.toml'), {
    title: 'marpd of the package',
    env: { NOTIFY_SOCKET: undefined },
  });
  const pid = String(marpd.pid);
  const ctl = (...args: string[]) =>
    site.router.exec('nsenter', '--target', pid, '--mount', '--root', '/usr/bin/marpctl', ...args);
  await marpd.line(/marpd started/);
  assert.match(ctl('status', '--wait'), /^config: +\/etc\/marpd\/marpd\.toml$/m);
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  assert.match(ctl('wait', visitor.ip, '--state', 'settled'), /^interface: +lan1$/m);
  assert.match(ctl('why', visitor.ip), /^\d\d:\d\d:\d\d\.\d{6} .*proving -> fresh on lan1/m);
  assert.equal(ctl('reload'), 'configuration reloaded\n');
  await marpd.stop();
  assert.equal(marpd.status, 0);
}
