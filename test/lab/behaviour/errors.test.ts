import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MARPD } from '../kit/ctl.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { Program, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** What the outside world does wrong is said in a sentence or counted by a reason; the daemon keeps serving. */

const VISITOR = '10.1.1.5';
/** sysexits.h: configuration error; the service manager need not try again. */
const EX_CONFIG = 78;

async function runsAndEnds(lab: Lab, argv: readonly string[], config?: string): Promise<Program> {
  const [namespace] = lab.create(`n${lab.namespaces.length}`) as [Namespace];
  const file = join(lab.directory, 'wrong.toml');
  if (config !== undefined) writeFileSync(file, config);
  const program = new Program(
    namespace,
    argv.map((arg) => (arg === 'FILE' ? file : arg)),
  );
  await program.ended(15_000);
  return program;
}

const withConfig = [process.execPath, MARPD, '--config', 'FILE'];

labTest('an unknown key refuses to start and names its path', async (lab) => {
  const program = await runsAndEnds(lab, withConfig, '[[interface]]\nname = "lan0"\nlern = "all"\n');
  assert.equal(program.status, EX_CONFIG);
  assert.match(program.output, /interface\[0\]\.lern/);
  assert.match(program.output, /learn/, 'and guesses what was meant');
});

labTest('every bad value is named at once, and --check finds the same without starting', async (lab) => {
  const config =
    '[[interface]]\nname = "lan0"\n[timers]\nkeepalive = "soon"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.255"\n';
  for (const argv of [withConfig, [...withConfig, '--check']]) {
    const program = await runsAndEnds(lab, argv, config);
    assert.equal(program.status, EX_CONFIG);
    assert.match(program.output, /timers\.keepalive/);
    assert.match(program.output, /subnet\[0\]\.gateway/);
    assert.doesNotMatch(program.output, /\bat .*\.js:\d+/, 'no stack trace');
  }
});

labTest('a missing file and a broken TOML are said in a sentence', async (lab) => {
  const missing = await runsAndEnds(lab, [process.execPath, MARPD, '--config', '/nonexistent.toml']);
  assert.equal(missing.status, EX_CONFIG);
  assert.match(missing.output, /\/nonexistent\.toml/);
  const broken = await runsAndEnds(lab, withConfig, '[[interface]\nname = "lan0"\n');
  assert.equal(broken.status, EX_CONFIG);
  assert.match(broken.output, /line \d+/);
});

labTest('wrong usage ends with status 2', async (lab) => {
  assert.equal((await runsAndEnds(lab, [process.execPath, MARPD])).status, 2);
  assert.equal((await runsAndEnds(lab, [process.execPath, MARPD, '--nonsense'])).status, 2);
});

for (const missing of ['net_raw', 'net_admin']) {
  labTest(`without CAP_${missing.toUpperCase()} it ends and says what to grant`, async (lab) => {
    const site = new Site(lab);
    const argv = ['setpriv', `--bounding-set=-${missing}`, `--inh-caps=-${missing}`];
    const program = new Program(site.router, [
      ...argv,
      process.execPath,
      MARPD,
      '--config',
      site.marpd.configPath,
    ]);
    assert.notEqual(await program.ended(15_000), 0);
    assert.match(program.output, new RegExp(`CAP_${missing.toUpperCase()}`));
    assert.deepEqual(site.marpd.routes(), []);
  });
}

labTest(
  'a socket in use by a living marpd: the second one says so and the first one is not disturbed',
  async (lab) => {
    const site = await new Site(lab).start();
    const second = new Program(site.router, [process.execPath, MARPD, '--config', site.marpd.configPath]);
    assert.equal(await second.ended(15_000), 1);
    assert.match(second.output, /already running/);
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'request');
    await site.marpd.routed(VISITOR, 'lan1');
    assert.equal(site.marpd.ctl.run('status').status, 0);
  },
);

labTest('the socket file of a dead marpd does not hinder the next one', async (lab) => {
  const site = await new Site(lab).start();
  await site.marpd.crash();
  await site.marpd.start('lan0', 'lan1');
  assert.equal(site.marpd.ctl.run('status').status, 0);
});

labTest('garbage on the control socket is answered or cut off, and the daemon keeps serving', async (lab) => {
  const site = await new Site(lab).start();
  const say = (bytes: string | Buffer) =>
    new Promise<void>((resolve) => {
      const socket = createConnection(site.marpd.socket, () => socket.end(bytes));
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
      socket.resume();
    });
  await say('\0\0\0\0');
  await say(Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) & 255)));
  await say('GET / HTTP/9.9\r\n\r\n');
  await say(`POST /v1/attach HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n${'x'.repeat(200_000)}`);
  await say('POST /v1/attach HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nnot json!');
  const { ctl } = site.marpd;
  assert.equal((await ctl.exchange('GET', '/v1/nothing')).status, 404);
  assert.equal((await ctl.exchange('DELETE', '/v1/hosts')).status, 405);
  assert.equal((await ctl.exchange('POST', '/v1/probe', '{"ip": "banana"}')).status, 400);
  assert.equal((await ctl.exchange('POST', '/v1/probe', '{"ip"')).status, 400);
  assert.equal((await ctl.exchange('GET', '/v1/hosts/10.1.1')).status, 400);
  // two hundred who connect and say nothing
  const idle = Array.from({ length: 200 }, () => createConnection(site.marpd.socket).on('error', () => {}));
  await waitFor(() => idle.every((socket) => !socket.connecting), 3000, 'two hundred connections');
  assert.equal(ctl.run('status').status, 0);
  for (const socket of idle) socket.destroy();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
});

labTest('marpctl: exit status 0, 1 no such host, 2 usage, 3 daemon not reachable', async (lab) => {
  const site = await new Site(lab).start();
  const { ctl } = site.marpd;
  assert.equal(ctl.run('status').status, 0);
  assert.equal(ctl.run('host', '10.1.1.99').status, 1);
  assert.equal(ctl.run('host', 'banana').status, 2);
  assert.equal(ctl.run('nonsense').status, 2);
  await site.marpd.stop();
  const gone = ctl.run('status');
  assert.equal(gone.status, 3);
  assert.match(gone.stderr, /marpd/);
});

labTest('100,000 malformed frames are counted, each by a reason, and cost nothing else', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  const evil = site.host('evil', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  evil.cable.plug('lan1');
  const frames = await evil.frames();
  const total = 100_000;
  frames.malformed(total, 20_000, 7);
  await frames.flushed();
  await waitFor(
    async () => {
      const dropped = (await site.marpd.ctl.drops()).reduce((sum, drop) => sum + drop.count, 0);
      // a few of the random faults leave a valid frame, and a handful may be lost in the ring
      return dropped > total * 0.9;
    },
    10_000,
    'the drop counters',
    200,
  );
  const reasons = new Set(
    (await site.marpd.ctl.drops()).filter((drop) => drop.count > 0).map((drop) => drop.reason),
  );
  for (const reason of [
    'truncated',
    'bad-hardware-type',
    'bad-protocol-type',
    'bad-address-length',
    'bad-opcode',
    'sender-mac-group',
    'sender-mac-mismatch',
  ] as const) {
    assert.ok(reasons.has(reason), `${reason} among ${[...reasons]}`);
  }
  assert.equal(site.marpd.program?.running, true);
  assert.equal(site.marpd.routesOf(VISITOR)[0]?.dev, 'lan1');
  await visitor.plug('lan0', 'request');
  await site.marpd.routed(VISITOR, undefined, 8000);
  assert.ok(site.marpd.ctl.json<unknown[] | object>('drops'));
});

labTest('a missing interface is no error: it says so and serves the others', async (lab) => {
  const site = new Site(lab, {
    lans: { lan1: '10.2.2.1/24' },
    config: { interface: [{ name: 'lan1' }, { name: 'nosuch0' }] },
  });
  await site.marpd.start('lan1');
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  await site.marpd.said(/nosuch0/);
});

labTest('SIGHUP: a good file is used, a bad one keeps the old and says why', async (lab) => {
  const site = await new Site(lab).start();
  const { marpd } = site;
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await marpd.routed(VISITOR, 'lan1');

  marpd.configure({ interface: [{ name: 'lan0', lern: 'all' }] });
  marpd.program?.child.kill('SIGHUP');
  await marpd.program?.line(/interface\[0\]\.lern/);
  assert.equal((await marpd.ctl.status()).lastReload?.ok, false);
  assert.equal(marpd.routesOf(VISITOR)[0]?.dev, 'lan1', 'nothing changed');

  marpd.configure({ ...marpd.config, policy: { deny: ['10.1.1.5/32'] } });
  marpd.program?.child.kill('SIGHUP');
  await marpd.routed(VISITOR, undefined);
  assert.equal((await marpd.ctl.status()).lastReload?.ok, true);

  marpd.configure(marpd.config);
  marpd.program?.child.kill('SIGHUP');
  const frames = await visitor.frames();
  await waitFor(
    () => {
      frames.gratuitous(VISITOR, visitor.mac);
      return marpd.routesOf(VISITOR)[0]?.dev === 'lan1';
    },
    3000,
    'the visitor to be allowed again',
    100,
  );
});

labTest('marpd --interface works without any file', async (lab) => {
  const site = new Site(lab);
  // its default socket is /run/marpd/marpd.sock, which may belong to the machine's own marpd: a private /run
  const script = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"';
  const argv = [process.execPath, MARPD, '--interface', 'lan0', '--interface', 'lan1'];
  const program = new Program(site.router, ['unshare', '-m', 'sh', '-c', script, ...argv]);
  const visitor = site.host('visitor');
  await waitFor(
    async () => {
      assert.ok(program.running, program.output);
      await visitor.plug('lan1', 'request', false);
      return site.marpd.routesOf(VISITOR)[0]?.dev === 'lan1';
    },
    8000,
    'the visitor to be learned',
    200,
  );
  assert.equal(await program.stop('SIGTERM'), 0);
  assert.deepEqual(site.marpd.routes(), []);
});
