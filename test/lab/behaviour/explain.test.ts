import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { CTL } from '../kit/ctl.js';
import { Capture } from '../kit/pcap.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import { Site, routerMac } from '../kit/site.js';
import { seeded } from '../../random.js';

/** Captures and recordings, and what Debian's tools make of them. */

const HOST = '10.1.1.5';
const SECONDS = SOAK ? 600 : 12;

function run(command: string, ...args: readonly string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(
    result.status,
    0,
    `${command} ${args.join(' ')}\n${result.stderr}\n${result.stdout.slice(-2000)}`,
  );
  return `${result.stdout}${result.stderr}`;
}

const explain = (...args: readonly string[]) => run(process.execPath, CTL, 'explain', ...args);

/** `marpctl capture -w` in the router's namespace; returns when it captures. */
async function startCapture(site: Site, path: string): Promise<Program> {
  const argv = [process.execPath, CTL, '--socket', site.marpd.socket, 'capture', '-w', path];
  const program = new Program(site.router, argv, { title: 'marpctl capture' });
  await waitFor(() => sizeOf(path) > 0, 10_000, 'the beginning of the recording');
  return program;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

labTest(
  'capture -w is read by tshark, tcpdump, editcap and mergecap, with comments and route changes',
  async (lab) => {
    const site = await new Site(lab).start();
    const path = join(lab.directory, 'live.pcapng');
    const program = await startCapture(site, path);
    const host = site.host('host');
    const tcpdump = await Capture.start(site.router, 'lan1');
    const spoke = await host.plug('lan1', 'request');
    await site.marpd.state(HOST, 'settled');
    const [seen] = tcpdump.arps({ senderIp: HOST, targetIp: HOST }, spoke - 1);
    await pause(300);
    await program.stop('SIGINT');

    const edited = join(lab.directory, 'edited.pcapng');
    const merged = join(lab.directory, 'merged.pcapng');
    run('editcap', path, edited);
    run('mergecap', '-w', merged, path, edited);
    for (const file of [path, edited, merged]) {
      const fields = ['frame.interface_name', 'frame.time_epoch', '_ws.col.Info', 'frame.comment'];
      const lines = run(
        'tshark',
        '-r',
        file,
        '-T',
        'fields',
        ...fields.flatMap((field) => ['-e', field]),
      ).split('\n');
      const first = lines.find((line) => line.includes('gratuitous ARP from 02:00:0a:01:01:05 on lan1'));
      assert.match(first ?? '', /^lan1\t/);
      assert.ok(
        lines.some((line) => line.includes('route + 10.1.1.5 dev lan1 (fresh)')),
        lines.join('\n'),
      );
      assert.ok(lines.some((line) => line.includes('sent: probe')));
      // A journal entry: what happened that is no frame.
      assert.ok(lines.some((line) => line.startsWith('\t') && line.includes('fresh -> settled on lan1')));
      // The stamp is the kernel's: tcpdump has the same, in ns.
      const at = Number(first?.split('\t')[1]) * 1000;
      assert.ok(Math.abs(at - (seen?.at ?? 0)) < 0.01, `${at} and ${seen?.at}`);
    }
    assert.match(run('tcpdump', '-n', '-r', path, 'arp'), /Request who-has 10\.1\.1\.5 tell 10\.1\.1\.5/);
    assert.match(explain(path), /recorded events, 0 differences/);
  },
);

labTest(
  "explain of tcpdump files: the daemon's decisions, -w for tshark, and without --link",
  async (lab) => {
    const site = await new Site(lab).start();
    const captures = [await Capture.start(site.router, 'lan0'), await Capture.start(site.router, 'lan1')];
    const host = site.host('host');
    await host.plug('lan1', 'request');
    await site.marpd.routed(HOST, 'lan1');
    await site.marpd.state(HOST, 'settled');
    await host.plug('lan0', 'request');
    await site.marpd.state(HOST, 'home');
    await host.plug('lan1', 'arp-gateway');
    await site.marpd.routed(HOST, 'lan1');
    // Who asks for its gateway is asked by the router as itself; without that nobody could know its address there.
    const newcomer = site.host('newcomer', { address: '10.1.1.6/24' });
    await newcomer.plug('lan1', 'arp-gateway');
    await site.marpd.routed('10.1.1.6', 'lan1');
    await (captures[1] as Capture).arp({ senderIp: '10.2.2.1' }, 10_000);
    await pause(200);
    await Promise.all(captures.map((capture) => capture.stop()));
    const files = captures.map(({ path }, i) => `lan${i}=${path}`);
    const links = [`lan0,${routerMac('lan0')},10.1.1.1/24`, `lan1,${routerMac('lan1')},10.2.2.1/24`];
    const out = join(lab.directory, 'out.pcapng');
    const known = ['--config', site.marpd.configPath, ...links.flatMap((link) => ['--link', link])];
    const text = explain(...files, ...known, '-w', out);
    assert.match(text, /^\d\d:\d\d:\d\d\.\d{6} lan1 +ARP, Request who-has 10\.1\.1\.5 tell 10\.1\.1\.5/m);
    assert.match(text, /10\.1\.1\.5 proving -> fresh on lan1 \(proof\): it answered the probe/);
    assert.match(text, /sent as predicted/);
    const predicted = (said: string) => Number(/(\d+) frames sent as predicted/.exec(said)?.[1]);
    for (const config of [[], ['--config', site.marpd.configPath]]) {
      const searched = explain(...files, ...config);
      assert.deepEqual(
        [...searched.matchAll(/^assumed: --link (.*)$/gm)].map(([, link]) => link),
        links,
      );
      const named = explain(...files, ...config, ...links.flatMap((link) => ['--link', link]));
      assert.equal(predicted(searched), predicted(named), searched);
    }
    const info = run(
      'tshark',
      '-r',
      out,
      '-T',
      'fields',
      '-e',
      'frame.interface_name',
      '-e',
      'frame.comment',
      '-e',
      '_ws.col.Info',
    );
    assert.match(info, /^lan1\t.*proving -> fresh on lan1/m);
    assert.match(info, /route \+ 10\.1\.1\.5 dev lan1 \(fresh\)/);
    const records = explain(...files, ...known, '--json')
      .split('\n')
      .filter((line) => line.startsWith('{'));
    assert.ok(
      records.some((line) => JSON.parse(line).event === 'transition' && JSON.parse(line).to === 'fresh'),
    );
  },
);

labTest(
  'a recording that begins when hosts are known, kept back, lost and asked is replayed without a difference',
  async (lab) => {
    const site = await new Site(lab, { config: { timers: { keepalive: '1s' } } }).start();
    const host = (n: number) => site.host(`host${n}`, { address: `10.1.1.${n}/24` });
    const [visitor, mover, lost] = [host(5), host(6), host(7)];
    await lost.plug('lan1', 'request');
    await site.marpd.state('10.1.1.7', 'settled');
    lost.unplug();
    await mover.plug('lan1', 'request');
    await visitor.plug('lan1', 'request');
    const frames = await visitor.frames();
    for (let n = 0; n < 30; n++) {
      frames.gratuitous(visitor.ip, visitor.mac);
      await pause(50);
    }
    const path = join(lab.directory, 'middle.pcapng');
    const program = await startCapture(site, path);
    for (let n = 0; n < 10; n++) {
      frames.gratuitous(visitor.ip, visitor.mac);
      await pause(50);
    }
    await visitor.plug('lan0', 'request');
    await mover.plug('lan0', 'request', false);
    await pause(4000);
    await mover.plug('lan1', 'request', false);
    await lost.plug('lan1', 'request');
    await site.marpd.state('10.1.1.7', 'settled');
    await program.stop('SIGINT');
    const text = explain(path);
    assert.match(text, /known before: 3 addresses, /);
    assert.match(text, /recorded events, 0 differences/);
    assert.doesNotMatch(text, /DIFFERENCE/);
  },
);

labTest(
  `a recording of ${SECONDS} s of chaos is replayed without a difference, as is the flight recorder's`,
  async (lab) => {
    const site = new Site(lab, { config: { capture: { record: '64MiB' }, timers: { keepalive: '1s' } } });
    await site.start();
    const path = join(lab.directory, 'chaos.pcapng');
    const program = await startCapture(site, path);
    await makeChaos(site);
    await program.stop('SIGINT');
    const archive = join(lab.directory, 'report.tar.gz');
    const made = site.marpd.ctl.run('report', '-w', archive);
    assert.equal(made.status, 0, made.stderr);
    const names = run('tar', '-tzf', archive);
    // Whichever hosts were not cleared last.
    assert.match(names, /\/why\/10\.\d\.\d\.\d+\.json\n/);
    for (const name of ['status.json', 'hosts.json', 'marpd.toml', 'machine/ip-j_rule.txt'])
      assert.ok(names.includes(`/${name}\n`), `${name} in ${names}${made.stderr}`);
    run('tar', '-xzf', archive, '-C', lab.directory, '--strip-components=1');
    run('tcpdump', '-n', '-r', join(lab.directory, 'capture.pcapng'));
    run('tcpdump', '-n', '-r', join(lab.directory, 'record', 'recording-000001.pcapng'));
    const [first] = run('sh', '-c', `ls ${site.marpd.stateDirectory}/record/*.pcapng`).split('\n');
    await site.marpd.stop();
    for (const file of [path, first as string]) {
      const text = explain(file);
      const [, events, differences] = /(\d+) recorded events, (\d+) differences/.exec(text) ?? [];
      assert.equal(
        Number(differences),
        0,
        text
          .split('\n')
          .filter((line) => line.includes('DIFF'))
          .slice(0, 20)
          .join('\n'),
      );
      // On a slow and busy machine a plug takes half a second.
      assert.ok(Number(events) > 8 * SECONDS, `${events} events`);
      console.log(`# ${file}: ${sizeOf(file)} bytes, ${text.trim().split('\n').at(-1)}`);
    }
  },
  SECONDS * 1000 + 60_000,
);

/** Hosts that move, double addresses, flaps, reloads, commands, dead readers. */
async function makeChaos(site: Site): Promise<void> {
  const random = seeded();
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const hosts = [5, 6, 7].map((n) => site.host(`host${n}`, { address: `10.1.1.${n}/24` }));
  const forger = site.host('forger', { address: '10.2.2.66/24', gateway: '10.2.2.1' });
  await forger.plug('lan1', 'request');
  const frames = await forger.frames();
  const deeds: (() => unknown)[] = [
    () => pick(hosts).plug(pick(['lan0', 'lan1']), pick(['request', 'reply', 'arp-gateway', 'silent'])),
    () => pick(hosts).plug(pick(['lan0', 'lan1']), pick(['request', 'arp-gateway']), false),
    () => frames.gratuitous(pick(hosts).ip, forger.mac),
    () => site.marpd.ctl.post('/v1/probe', { ip: pick(hosts).ip }),
    () => site.marpd.ctl.post('/v1/clear', { ip: pick(hosts).ip }),
    () => process.kill(site.marpd.pid, 'SIGHUP'),
    async () => {
      site.router.ip('link set lan1 down');
      await pause(random() * 300);
      site.router.ip('link set lan1 up');
    },
    () => site.router.ipQuietly(`route add ${pick(hosts).ip}/32 via 192.0.2.2 proto 188 metric 20`),
    () => site.router.ipQuietly(`route del ${pick(hosts).ip}/32 via 192.0.2.2 proto 188 metric 20`),
  ];
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    await pick(deeds)();
    await pause(random() * 200);
  }
}
