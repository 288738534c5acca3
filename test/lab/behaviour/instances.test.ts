import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { CTL, MARPD } from '../kit/ctl.js';
import { labTest } from '../kit/lab-test.js';
import type { Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import { Site } from '../kit/site.js';

/** Two daemons where one may run (design.md 3.2): the second ends before it has touched anything. */

const VISITOR = '10.1.1.5';

interface Second {
  readonly program: Program;
  readonly stateDirectory: string;
}

/** Another daemon with a socket of its own; its state directory too, unless `stateDirectory` names one. */
function startSecond(site: Site, namespace: Namespace, stateDirectory?: string): Second {
  const directory = join(site.lab.directory, 'second');
  mkdirSync(directory);
  const config = {
    interface: site.lans.map((name) => ({ name })),
    control: { socket: join(directory, 'marpd.sock') },
    ...(stateDirectory === undefined ? {} : { router: { state_directory: stateDirectory } }),
  };
  const path = join(directory, 'marpd.toml');
  writeFileSync(path, stringify(config));
  const program = new Program(namespace, [process.execPath, MARPD, '--config', path], {
    title: 'second',
    env: { NOTIFY_SOCKET: undefined },
  });
  return { program, stateDirectory: stateDirectory ?? directory };
}

labTest('a second marpd in the same network namespace is refused, and the first goes on', async (lab) => {
  const site = new Site(lab);
  site.router.sysctl({ 'ipv4.ip_forward': 0, 'ipv4.conf.lan1.proxy_arp': 1 });
  await site.start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  const { program, stateDirectory } = startSecond(site, site.router);
  assert.equal(await program.ended(), 1, program.output);
  assert.match(program.output, new RegExp(`already running .*\\(pid ${site.marpd.pid}\\) with protocol 44`));
  assert.deepEqual(readdirSync(stateDirectory), ['marpd.toml'], 'nothing was written');
  assert.ok(site.reaches(VISITOR));
  assert.equal(await site.marpd.stop(), 0);
  assert.deepEqual(site.router.readSysctl('ipv4.ip_forward', 'ipv4.conf.lan1.proxy_arp'), [0, 1]);
});

labTest(
  'a second marpd with the same state directory is refused, and the first keeps what it saved',
  async (lab) => {
    const site = new Site(lab);
    site.router.sysctl({ 'ipv4.ip_forward': 0, 'ipv4.conf.lan1.proxy_arp': 1 });
    await site.start();
    const saved = join(site.marpd.stateDirectory, 'sysctl.state');
    const before = readFileSync(saved, 'utf8');
    const elsewhere = lab.create('elsewhere')[0] as Namespace;
    const { program } = startSecond(site, elsewhere, site.marpd.stateDirectory);
    assert.equal(await program.ended(), 1, program.output);
    assert.match(
      program.output,
      new RegExp(`state_directory .* in use by another marpd \\(pid ${site.marpd.pid}\\)`),
    );
    assert.equal(readFileSync(saved, 'utf8'), before);
    assert.equal(await site.marpd.stop(), 0);
    assert.deepEqual(site.router.readSysctl('ipv4.ip_forward', 'ipv4.conf.lan1.proxy_arp'), [0, 1]);
    assert.deepEqual(readdirSync(site.marpd.stateDirectory), ['hosts.json']);
  },
);

labTest('after kill -9 the next marpd starts, and takes over what the first had saved', async (lab) => {
  const site = new Site(lab);
  site.router.sysctl({ 'ipv4.ip_forward': 0 });
  await site.start();
  await site.marpd.crash();
  assert.ok(existsSync(join(site.marpd.stateDirectory, 'marpd.lock')));
  await site.start();
  assert.equal(await site.marpd.stop(), 0);
  assert.deepEqual(site.router.readSysctl('ipv4.ip_forward'), [0]);
});

labTest('doctor looks where the daemon runs, from whatever namespace it is called', async (lab) => {
  // With settings = "apply" marpd would set it again before doctor looks.
  const site = await new Site(lab, { config: { kernel: { settings: 'check' } } }).start();
  const [elsewhere] = lab.create('elsewhere') as [Namespace];
  site.router.sysctl({ 'ipv4.conf.lan1.proxy_arp': 1 });
  const argv = [process.execPath, CTL, 'doctor', '--json', '--socket', site.marpd.socket];
  const program = new Program(elsewhere, argv, { title: 'doctor' });
  assert.equal(await program.ended(), 1, program.output);
  const { findings } = JSON.parse(program.output);
  assert.ok(
    findings.some(
      (finding: { level: string; check: string; message: string }) =>
        finding.level === 'error' && finding.check === 'proxy_arp' && /lan1/.test(finding.message),
    ),
    program.output,
  );
});

labTest(
  'the start says what is served, which errors doctor finds, and which saved hosts are left out',
  async (lab) => {
    const site = new Site(lab);
    const saved = (ip: string, name: string) => ({
      ip,
      mac: '02:00:00:00:00:09',
      interface: name,
      reason: 'stop',
    });
    writeFileSync(
      join(site.marpd.stateDirectory, 'hosts.json'),
      JSON.stringify({
        version: 1,
        writtenAt: '',
        hosts: [saved('10.1.1.7', 'lan1'), saved('10.1.1.8', 'gone0'), saved('198.51.100.1', 'lan1')],
      }),
    );
    site.router.ip('addr flush dev lan0', 'addr add 10.1.1.2/24 dev lan0');
    await site.start();
    await site.marpd.said(
      /serving interfaces: lan0, lan1; subnets: 10\.1\.1\.0\/24 \(gateway 10\.1\.1\.1\), 10\.2\.2\.0\/24/,
    );
    await site.marpd.said(/hosts\.json: 2 of 3 hosts left out/);
    await site.marpd.said(
      /doctor: gateway: 10\.1\.1\.0\/24 is connected on lan0, but its gateway 10\.1\.1\.1/,
    );
    assert.equal((await site.marpd.ctl.host('10.1.1.7'))?.state, 'remembered');
    assert.equal(await site.marpd.ctl.host('198.51.100.1'), undefined);
  },
);
