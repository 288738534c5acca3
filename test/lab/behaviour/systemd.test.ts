import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { InterfaceView } from '../../../src/control/schemas.js';
import { BootedDebian } from '../kit/booted-debian.js';
import { SITE_CONFIG, debianPackage } from '../kit/debian-package.js';
import type { Host } from '../kit/host.js';
import { labTest } from '../kit/lab-test.js';
import { CommandFailed } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';

/** The units, as the package installs them, with a real systemd: a Debian 13 that systemd-nspawn boots. */

const PACKAGE = debianPackage();

/** In the place of FRR: starts slowly, and writes down which routes marpd still has when it is stopped itself. */
const ROUTING_DAEMON = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/sleep 1
ExecStop=/bin/sh -c 'ip route show protocol 44 >/var/lib/routes-at-stop'
[Install]
WantedBy=multi-user.target
`;

const NET_ADMIN = 0x1000;
const NET_RAW = 0x2000;

labTest(
  'systemd starts marpd.service after the routing daemon, watches it, reloads it, and stops it first',
  async (lab) => {
    const site = new Site(lab);
    const debian = await withPackage(site);
    debian.put('etc/systemd/system/frr.service', ROUTING_DAEMON);
    debian.run('systemctl enable --quiet frr marpd; systemctl start multi-user.target');

    const unit = debian.show('marpd', 'ActiveState', 'SubState', 'Type', 'User', 'WatchdogUSec', 'NRestarts');
    assert.deepEqual(unit, {
      ActiveState: 'active',
      SubState: 'running',
      Type: 'notify',
      User: 'marpd',
      WatchdogUSec: '30s',
      NRestarts: '0',
    });
    const started = (name: string, property: string) => Number(debian.show(name, property)[property]);
    const routingReady = started('frr', 'ActiveEnterTimestampMonotonic');
    assert.ok(routingReady > 0 && routingReady <= started('marpd', 'ExecMainStartTimestampMonotonic'));
    assertExposure(debian, 'marpd.service');
    const visitor = site.host('visitor');
    await serves(site, debian, visitor);
    assertConfined(debian);
    assertReloads(debian);
    site.router.sysctl({ 'ipv4.conf.lan1.forwarding': 0 });
    await waitFor(
      () => debian.journal('marpd.service').some(({ PRIORITY }) => PRIORITY === '4'),
      10_000,
      'an alarm in the journal, as a warning',
      200,
    );
    assert.match(debian.run('journalctl --quiet --unit=marpd -p warning..warning -o cat'), /setting-changed/);
    await assertWatched(debian, visitor);

    debian.run('systemctl stop marpd');
    assert.equal(debian.show('marpd', 'Result').Result, 'success');
    assert.equal(routes(debian), '');
    debian.run('systemctl start marpd');
    await waitFor(() => learned(debian, visitor), 10_000, 'marpd to remember the visitor');

    await debian.shutDown();
    assert.equal(debian.left('var/lib/routes-at-stop'), '', 'marpd stops before the routing daemon');
    assert.equal(site.router.exec('ip', 'route', 'show', 'protocol', '44'), '');
  },
  120_000,
);

labTest(
  'systemd starts marpd-events.service, which may use the socket of marpd',
  async (lab) => {
    const site = new Site(lab);
    const debian = await withPackage(site);
    // As docs/virtual-machines.md says, with a virsh that has events but no guest.
    debian.put('usr/bin/virsh', VIRSH, 0o755);
    debian.run(`cd /usr/share/doc/marpd/examples
      install -D -m 0755 libvirt/marpd-events /usr/lib/marpd/marpd-events
      install -D -m 0644 libvirt/marpd-events.service /etc/systemd/system/marpd-events.service
      systemctl daemon-reload
      systemctl start marpd marpd-events`);
    const guest = site.host('guest');
    await guest.plug('lan1', 'silent');
    debian.put('run/marpd-guests/guest1', `{"mac":"${guest.mac}","interface":"lan1","ip":["${guest.ip}"]}\n`);
    debian.put(
      'run/events',
      "2026-11-23 09:00:00.123+0000: event 'lifecycle' for domain 'guest1': Resumed Migrated\n",
    );
    await waitFor(() => learned(debian, guest), 10_000, 'marpd to have the guest');
    assert.match(debian.run(`marpctl why ${guest.ip}`), /attach/);
    const unit = debian.show('marpd-events', 'ActiveState', 'SubState', 'NRestarts');
    assert.deepEqual(unit, { ActiveState: 'active', SubState: 'running', NRestarts: '0' });
    assertExposure(debian, 'marpd-events.service');
  },
  120_000,
);

const VIRSH = `#!/bin/sh
case "$*" in *' event '*) exec tail -n +1 -F /run/events 2>/dev/null ;; esac
`;

async function withPackage(site: Site): Promise<BootedDebian> {
  const debian = await new BootedDebian(site.router).booted();
  debian.put('root/marpd.deb', readFileSync(PACKAGE));
  debian.run('dpkg --install /root/marpd.deb');
  debian.put('etc/marpd/marpd.toml', SITE_CONFIG);
  return debian;
}

/** The daemon has the unit's user and both capabilities, its children at most one of them. */
function assertConfined(debian: BootedDebian): void {
  const user = debian.run('id --user marpd').trim();
  assert.notEqual(user, '0');
  const { MainPID } = debian.show('marpd', 'MainPID');
  const status = debian.run(`cat /proc/${MainPID}/status`);
  assert.match(status, new RegExp(`^Uid:${`\t${user}`.repeat(4)}$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
    assert.deepEqual(capabilities(status, set), [NET_ADMIN | NET_RAW], set);

  const children = debian.run(
    `for pid in $(cat /proc/${MainPID}/task/*/children); do cat /proc/$pid/status; done`,
  );
  const kept = capabilities(children, 'Prm');
  assert.ok(kept.includes(NET_ADMIN) && kept.includes(NET_RAW), children);
  assert.ok(!kept.includes(NET_ADMIN | NET_RAW), children);
  assert.deepEqual(
    debian.journal('marpd.service').filter(({ PRIORITY }) => Number(PRIORITY) < 5),
    [],
    'no warning at its start',
  );
}

const capabilities = (status: string, set: string) =>
  [...status.matchAll(new RegExp(`^Cap${set}:\t(\\S+)$`, 'gm'))].map(([, mask]) => Number(`0x${mask}`));

function assertExposure(debian: BootedDebian, unit: string): void {
  const verdict = debian.run(`systemd-analyze security --no-pager ${unit} | tail -n 1`);
  const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(verdict) ?? [];
  assert.ok(Number(exposure) < 2, verdict);
}

async function serves(site: Site, debian: BootedDebian, visitor: Host): Promise<void> {
  await waitFor(() => captured(debian, 'lan1'), 10_000, 'the capture of lan1');
  await visitor.plug('lan1', 'request');
  assert.match(debian.run(`marpctl wait ${visitor.ip} --state settled --timeout 10s`), /^interface: +lan1$/m);
  await site.reachable(visitor.ip);
}

function captured(debian: BootedDebian, name: string): boolean {
  const interfaces = JSON.parse(debian.run('marpctl interfaces --json')) as readonly InterfaceView[];
  return interfaces.some((view) => view.name === name && view.capturing);
}

const routes = (debian: BootedDebian) => debian.run('ip route show protocol 44');

const learned = (debian: BootedDebian, host: Host) =>
  routes(debian).includes(`${host.ip} dev lan1`) && debian.run('marpctl hosts').includes(host.ip);

/** What systemctl says of a file that is accepted and of one that is refused, and the journal of both. */
function assertReloads(debian: BootedDebian): void {
  debian.run('systemctl reload marpd');
  debian.put('etc/marpd/marpd.toml', `${SITE_CONFIG}[timers]\nhold = "never"\n`);
  assert.throws(() => debian.run('systemctl reload marpd'), CommandFailed);
  debian.put('etc/marpd/marpd.toml', SITE_CONFIG);
  debian.run('systemctl reload marpd');
  assert.equal(debian.show('marpd', 'ActiveState').ActiveState, 'active');

  const { MainPID } = debian.show('marpd', 'MainPID');
  const lines = debian.journal('marpd.service').filter(({ _PID }) => _PID === MainPID);
  const priorities = (pattern: RegExp) => [
    ...new Set(lines.filter(({ MESSAGE }) => pattern.test(MESSAGE)).map(({ PRIORITY }) => PRIORITY)),
  ];
  assert.deepEqual(priorities(/^marpd started/), ['6']);
  assert.deepEqual(priorities(/refused/), ['3']);
}

/** A daemon that hangs is killed and started again, and nobody withdraws its routes meanwhile. */
async function assertWatched(debian: BootedDebian, visitor: Host): Promise<void> {
  debian.put('run/systemd/system/marpd.service.d/watchdog.conf', '[Service]\nWatchdogSec=3s\n');
  debian.run('systemctl daemon-reload; systemctl restart marpd');
  await waitFor(() => learned(debian, visitor), 10_000, 'marpd to remember the visitor');
  const restarts = () => Number(debian.show('marpd', 'NRestarts').NRestarts);
  const [pid, before] = [debian.show('marpd', 'MainPID').MainPID, restarts()];
  debian.run('systemctl kill --kill-whom=main --signal=STOP marpd');
  await waitFor(() => restarts() > before, 10_000, 'the watchdog to restart marpd', 100);
  assert.match(routes(debian), new RegExp(`^${visitor.ip} `, 'm'));
  await waitFor(
    () => debian.show('marpd', 'ActiveState').ActiveState === 'active',
    10_000,
    'marpd to be ready again',
    100,
  );
  assert.notEqual(debian.show('marpd', 'MainPID').MainPID, pid);
  assert.ok(learned(debian, visitor));
  assert.match(debian.run('journalctl --quiet --unit=marpd --output=cat'), /Watchdog timeout \(limit 3s\)!/);
}
