import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Frames, Switch } from '../kit/host.js';
import { CommandFailed, type Namespace, sweep } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import { Program, waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** The laboratory itself: a fixture that lies makes every test that stands on it worthless. */

const HERE = fileURLToPath(new URL('../kit/', import.meta.url));

const leftOf = (name: string): string[] => [
  ...(existsSync('/run/netns') ? readdirSync('/run/netns') : []).filter((entry) => entry.startsWith(name)),
  ...readdirSync(tmpdir()).filter((entry) => entry.startsWith(name)),
];

// A lab in a process of its own, which ends as the script says; prints its name and the pid of a program in it.
async function labProcess(
  ending: string,
): Promise<{ child: ReturnType<typeof spawn>; name: string; sleeper: number }> {
  const script = `
    import { Lab } from '${HERE}namespace.ts';
    import { Program } from '${HERE}program.ts';
    const lab = new Lab();
    const [a, b] = lab.create('a', 'b');
    lab.link(a, 'eth0', b, 'eth0');
    const program = new Program(a, ['sleep', '1000']);
    console.log(lab.name, program.pid);
    ${ending}
  `;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  await waitFor(() => output.includes('\n'), 10_000, 'the lab of another process');
  const [name, sleeper] = output.trim().split(' ') as [string, string];
  return { child, name, sleeper: Number(sleeper) };
}

const runs = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep');
  } catch {
    return false;
  }
};

for (const [how, ending] of [
  ['its end', 'process.exit(0);'],
  ['an exception', 'throw new Error("as planned");'],
] as const) {
  test(`a lab leaves nothing behind after ${how}`, async () => {
    const { child, name, sleeper } = await labProcess(ending);
    if (child.exitCode === null) await once(child, 'exit');
    assert.deepEqual(leftOf(name), []);
    await waitFor(() => !runs(sleeper), 2000, 'the end of its program');
  });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`a lab leaves nothing behind after ${signal}`, async () => {
    const { child, name, sleeper } = await labProcess('setInterval(() => {}, 1000);');
    assert.ok(leftOf(name).length >= 3, 'it was there');
    child.kill(signal);
    await once(child, 'exit');
    assert.deepEqual(leftOf(name), []);
    await waitFor(() => !runs(sleeper), 2000, 'the end of its program');
  });
}

test('what kill -9 leaves behind is swept, and living labs are left alone', async () => {
  const living = await labProcess('setInterval(() => {}, 1000);');
  const { child, name, sleeper } = await labProcess('setInterval(() => {}, 1000);');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await waitFor(() => !runs(sleeper), 2000, 'the end of its program');
  const swept = sweep();
  assert.ok(
    swept.some((entry) => entry.startsWith(name)),
    'the dead one is swept',
  );
  assert.deepEqual(leftOf(name), []);
  assert.ok(leftOf(living.name).length >= 3, 'the living one is still there');
  living.child.kill('SIGINT');
  await once(living.child, 'exit');
  assert.deepEqual(leftOf(living.name), []);
});

labTest('a refused ip command names the command and what the kernel said', async (lab) => {
  const [namespace] = lab.create('a') as [Namespace];
  assert.throws(
    () => namespace.ip('link set nosuch up'),
    (error) => error instanceof CommandFailed && /nosuch/.test(error.message),
  );
});

labTest('a cable moves between segments with and without carrier drop', async (lab) => {
  const site = new Site(lab);
  const host = site.host('h5');
  const flaps = new Program(host.namespace, ['ip', '-o', 'monitor', 'link']);
  const lan0 = await Capture.start(site.router, 'lan0');
  const lan1 = await Capture.start(site.router, 'lan1');

  await host.plug('lan0', 'request');
  await lan0.arp({ senderIp: host.ip, targetIp: host.ip, opcode: 'request', source: host.mac }, 2000);
  await waitFor(() => flaps.lines.at(-1)?.text.includes(',LOWER_UP'), 2000, 'the first carrier');
  assert.ok(host.pings('10.1.1.1'), 'the gateway answers at home');
  const seen = flaps.lines.length;

  await host.plug('lan1', 'reply', false);
  await lan1.arp({ senderIp: host.ip, targetIp: host.ip, opcode: 'reply' }, 2000);
  assert.equal(flaps.lines.length, seen, 'the card noticed nothing');
  assert.equal(
    host.neighbour('10.1.1.1')?.mac,
    '02:aa:00:00:00:00',
    'the stale gateway entry is still there',
  );

  await host.plug('lan0', 'arp-gateway');
  await lan0.arp({ senderIp: host.ip, targetIp: '10.1.1.1', opcode: 'request', source: host.mac }, 2000);
  await waitFor(() => flaps.lines.some((line) => /NO-CARRIER/.test(line.text)), 2000, 'the carrier drop');
});

labTest('frames: a burst arrives complete and in order, and a played host answers (RFC 826)', async (lab) => {
  const site = new Site(lab);
  const host = site.host('h5');
  host.cable.plug('lan0');
  await host.carrier();
  const capture = await Capture.start(host.namespace, 'eth0');
  const frames = await host.frames();
  frames.answer('10.1.1.100', 50);
  frames.burst('10.1.1.100', 50);
  await frames.flushed();
  await waitFor(() => capture.arps({ opcode: 'request' }).length === 50, 3000, 'fifty frames');
  const senders = capture.arps({ opcode: 'request' }).map((arp) => arp.senderIp);
  assert.deepEqual(
    senders,
    Array.from({ length: 50 }, (_, i) => `10.1.1.${100 + i}`),
  );
  assert.equal(site.router.status('arping', '-q', '-c', '1', '-w', '2', '-I', 'lan0', '10.1.1.149'), 0);
  await capture.arp({ opcode: 'reply', senderIp: '10.1.1.149', senderMac: '02:00:0a:01:01:95' }, 2000);
  frames.malformed(1000, 0, 1);
  await frames.flushed();
  assert.equal(frames.sent, 1050);
});

labTest('pcap: frames carry kernel time stamps that compare with Date.now()', async (lab) => {
  const [a, b] = lab.create('a', 'b') as [Namespace, Namespace];
  lab.link(a, 'eth0', b, 'eth0');
  for (const namespace of [a, b]) namespace.ip('link set eth0 up');
  a.ip('addr add 10.0.0.1/24 dev eth0');
  b.ip('addr add 10.0.0.2/24 dev eth0');
  const capture = await Capture.start(b, 'eth0');
  const before = Date.now();
  assert.equal(a.status('ping', '-c', '2', '-i', '0.01', '10.0.0.2'), 0);
  const reply = await capture.echo({ kind: 'reply', fromIp: '10.0.0.2', sequence: 2 }, 2000);
  assert.ok(reply.at >= before && reply.at <= Date.now() + 1, `${reply.at} is between ${before} and now`);
  await capture.stop();
  // the same file through tcpdump's own eyes
  const text = spawnSync('tcpdump', ['-n', '-r', capture.path], { encoding: 'utf8' }).stdout;
  assert.equal(text.trim().split('\n').length, capture.frames().length);
});

labTest('a switch can be extended and a segment is a broadcast domain of its own', async (lab) => {
  const network = new Switch(lab, ['lan0']);
  network.add('lan1');
  const [a, b, c] = lab.create('a', 'b', 'c') as [Namespace, Namespace, Namespace];
  network.connect(a, 'eth0', 'lan0');
  network.connect(b, 'eth0', 'lan0');
  network.connect(c, 'eth0', 'lan1');
  for (const namespace of [a, b, c]) namespace.ip('link set eth0 up');
  const [same, other] = [await Capture.start(b, 'eth0'), await Capture.start(c, 'eth0')];
  a.ip('addr add 10.0.0.1/24 dev eth0');
  assert.equal(a.status('arping', '-q', '-c', '1', '-w', '1', '-U', '-I', 'eth0', '10.0.0.1'), 0, 'sent');
  await same.arp({ senderIp: '10.0.0.1' }, 2000);
  assert.equal(other.arps({ senderIp: '10.0.0.1' }).length, 0);
});

labTest('a guest behind a tap answers, and its tap vanishes with it', async (lab) => {
  const [router] = lab.create('router') as [Namespace];
  const guest = await Frames.guest(router, 'tap0');
  guest.answer('10.1.1.5');
  router.ip('addr add 10.1.1.1/24 dev tap0');
  assert.equal(router.status('arping', '-q', '-c', '1', '-w', '2', '-I', 'tap0', '10.1.1.5'), 0);
  await guest.program.stop('SIGKILL');
  await waitFor(() => router.json('link', 'show').length === 1, 2000, 'the end of the tap');
});

labTest('route-log: additions and deletions carry time stamps', async (lab) => {
  const [router] = lab.create('router') as [Namespace];
  const log = await RouteLog.start(router);
  const before = Date.now();
  router.ip('route add 10.1.1.5/32 dev lo scope link proto 44 metric 1', 'route del 10.1.1.5/32 metric 1');
  const added = await log.added('10.1.1.5', 'lo', before);
  const deleted = await log.deleted('10.1.1.5', 'lo', before);
  assert.ok(before <= added.at && added.at <= deleted.at && deleted.at <= Date.now() + 1);
});
