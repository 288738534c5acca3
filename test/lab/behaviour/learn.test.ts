import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { HostView, WhyView } from '../../../src/control/schemas.js';
import { commandLine, descendants } from '../kit/processes.js';
import { type Announcement, macFor } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { staysTrue, waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

const VISITOR = '10.1.1.5';
const MAC = macFor(VISITOR);
const TALKERS = ['10.1.1.5', '10.1.1.6', '10.1.1.7'];

for (const announcement of ['request', 'reply', 'arp-gateway'] as const satisfies readonly Announcement[]) {
  const what = {
    request: 'one gratuitous ARP request (RFC 5944 section 4.6)',
    reply: 'one gratuitous ARP reply',
    'arp-gateway': 'one ARP request for its gateway (RFC 826)',
  }[announcement];

  labTest(
    `${what} makes a visitor reachable where the router has only 10.2.2.1/24 and rp_filter=1`,
    async (lab) => {
      const site = await new Site(lab, { lans: { lan0: '10.2.2.1/24' }, rpFilter: 1 }).start();
      const visitor = site.host('visitor');
      const capture = await Capture.start(site.router, 'lan0');
      const spoke = await visitor.plug('lan0', announcement);

      await site.reachable(VISITOR);
      const [route, ...more] = site.marpd.routesOf(VISITOR);
      assert.equal(route?.dev, 'lan0');
      assert.equal(more.length, 0);
      const [neighbour] = site.marpd.neighbours(VISITOR);
      assert.deepEqual(neighbour?.state, ['PERMANENT']);
      assert.equal(neighbour?.lladdr, MAC);

      // The proof: unicast, from our MAC. In the name of the gateway that the visitor believes in, or, when it waits for
      // that one's MAC, in a name that tells it nothing (design.md 3.2).
      const proof = await capture.arp(
        { opcode: 'request', targetIp: VISITOR, source: routerMac('lan0') },
        1000,
        spoke - 1,
      );
      assert.equal(proof.destination, MAC);
      assert.equal(proof.senderMac, routerMac('lan0'));
      assert.equal(proof.senderIp, announcement === 'arp-gateway' ? '10.2.2.1' : '10.1.1.1');
      const given = await capture.arp({ opcode: 'reply', senderIp: VISITOR, source: MAC }, 1000, proof.at);
      assert.equal(given.destination, routerMac('lan0'));

      await site.marpd.state(VISITOR, 'settled');
      const host = site.marpd.ctl.json<HostView>('host', VISITOR);
      assert.equal(host.interface, 'lan0');
      assert.equal(host.mac, MAC);
      const why = site.marpd.ctl.json<WhyView>('why', VISITOR);
      assert.match(why.conclusion, /learned/);
      assert.ok(why.records.some((record) => record.kind === 'transition'));
    },
  );
}

labTest('the first ARP of a visitor for its gateway is answered, once and by us (RFC 826)', async (lab) => {
  const site = await new Site(lab, { lans: { lan0: '10.2.2.1/24' } }).start();
  const visitor = site.host('visitor');
  const capture = await Capture.start(visitor.namespace, 'eth0');
  const spoke = await visitor.plug('lan0', 'arp-gateway');
  const answer = await capture.arp({ opcode: 'reply', senderIp: '10.1.1.1' }, 2000, spoke - 1);
  assert.equal(answer.senderMac, routerMac('lan0'));
  assert.equal(answer.destination, MAC);
  assert.equal(answer.targetIp, VISITOR);
  // Its kernel, which knows nothing of the first question, may ask as well. Questions that wait for the route have one
  // answer together; none has two.
  await site.reachable(VISITOR);
  const questions = capture.arps({ opcode: 'request', senderIp: VISITOR, targetIp: '10.1.1.1' });
  const answers = capture.arps({ opcode: 'reply', senderIp: '10.1.1.1' });
  assert.ok(answers.length >= 1 && answers.length <= questions.length, `${answers.length} answers`);
});

// A strict rp_filter drops an echo that comes before there is a route back: the answer for the gateway waits for it.
labTest(
  'a visitor that simply starts to talk: its ARP for the gateway is answered, its echo too',
  async (lab) => {
    const site = await new Site(lab, { lans: { lan0: '10.2.2.1/24' } }).start();
    let echoes = 0;
    for (const ip of TALKERS) {
      const visitor = site.host(`visitor${ip.split('.')[3]}`, { address: `${ip}/24` });
      await visitor.plug('lan0', 'silent');
      const wire = await Capture.start(visitor.namespace, 'eth0');
      if (visitor.namespace.status('ping', '-n', '-q', '-c', '1', '-W', '2', '192.0.2.2') === 0) echoes++;
      const [asked] = wire.arps({ opcode: 'request', senderIp: ip, targetIp: '10.1.1.1' });
      const told = { opcode: 'reply', senderIp: '10.1.1.1', targetIp: ip } as const;
      const answered = await wire.arp(told, 1000, asked?.at);
      assert.ok(
        asked !== undefined && answered.at - asked.at < 900,
        'its first question is answered: it asks once a second',
      );
      await site.marpd.routed(ip, 'lan0');
    }
    // Our question lets the kernel of a visitor send at once, and on a loaded machine that may be before the route is there.
    assert.ok(echoes >= TALKERS.length - 1, `${echoes} of ${TALKERS.length} echoes came back`);
  },
);

for (const [flag, name] of [
  ['-U', 'request'],
  ['-A', 'reply'],
] as const) {
  labTest(`a gratuitous ARP ${name} from a real stack (arping ${flag}) is understood`, async (lab) => {
    const site = await new Site(lab).start();
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'silent');
    visitor.namespace.status('arping', flag, '-q', '-c', '1', '-w', '1', '-I', 'eth0', VISITOR);
    await site.marpd.routed(VISITOR, 'lan1');
    await site.reachable(VISITOR);
  });
}

labTest('a Linux host with arp_notify=1 announces itself when its card gets another MAC', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor', { mac: '02:00:00:00:00:01' });
  await visitor.plug('lan1', 'silent');
  visitor.namespace.sysctl({ 'ipv4.conf.eth0.arp_notify': 1 });
  visitor.namespace.ip(`link set eth0 address ${MAC}`);
  await site.marpd.routed(VISITOR, 'lan1');
});

labTest(
  'learn = "foreign": a home host is recorded with its MAC and gets neither route nor keepalive',
  async (lab) => {
    const site = await new Site(lab, { config: { timers: { keepalive: '500ms' } } }).start();
    const host = site.host('home');
    const capture = await Capture.start(host.namespace, 'eth0');
    await host.plug('lan0', 'request');
    await site.marpd.state(VISITOR, 'home');
    assert.equal((await site.marpd.ctl.host(VISITOR))?.mac, MAC);
    assert.ok(site.reaches(VISITOR));
    const quietSince = Date.now();
    await staysTrue(() => site.marpd.routesOf(VISITOR).length === 0, 1500, 'no route', 100);
    const asked = capture.arps(
      { opcode: 'request', targetIp: VISITOR, senderMac: routerMac('lan0') },
      quietSince,
    );
    // the kernel's own neighbour confirmation may ask by unicast; a keepalive every 500 ms would have asked thrice
    assert.ok(asked.length < 3, `${asked.length} questions in 1.5 s`);
  },
);

labTest('learn = "all": a home host gets its route, too', async (lab) => {
  const site = new Site(lab, { config: { interface: [{ name: 'lan0', learn: 'all' }, { name: 'lan1' }] } });
  await site.start();
  const host = site.host('home');
  await host.plug('lan0', 'request');
  await site.marpd.routed(VISITOR, 'lan0');
  await site.reachable(VISITOR);
});

labTest(
  'an ARP probe (RFC 5227 section 1.1) alone is no host: nothing is learned, nobody answers it',
  async (lab) => {
    const site = await new Site(lab).start();
    const other = site.host('prober', { address: '10.2.2.9/24', gateway: '10.2.2.1' });
    const capture = await Capture.start(other.namespace, 'eth0');
    await other.plug('lan1', 'silent');
    const frames = await other.frames();
    // it wants 10.1.1.77, which nobody has yet
    for (let i = 0; i < 3; i++) frames.request('0.0.0.0', '02:00:00:00:00:77', '10.1.1.77');
    await staysTrue(() => site.marpd.routesOf('10.1.1.77').length === 0, 2500, 'no route', 100);
    assert.deepEqual(capture.arps({ opcode: 'reply', senderIp: '10.1.1.77' }), []);
  },
);

labTest(
  'a visitor reaches a neighbour of its home subnet through us, and the neighbour reaches it',
  async (lab) => {
    const site = await new Site(lab).start();
    const neighbour = site.host('neighbour', { address: '10.1.1.7/24', gateway: '10.1.1.1' });
    await neighbour.plug('lan0', 'request');
    await site.marpd.state('10.1.1.7', 'home');
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'request');
    await site.reachable(VISITOR);
    // The visitor's ARP for 10.1.1.7 and the neighbour's for 10.1.1.5 must be answered in user space (proxy_arp=0).
    assert.ok(visitor.pings('10.1.1.7', 3), 'visitor to neighbour');
    assert.equal(visitor.neighbour('10.1.1.7')?.mac, routerMac('lan1'));
    assert.ok(neighbour.pings(VISITOR, 3), 'neighbour to visitor');
    assert.equal(neighbour.neighbour(VISITOR)?.mac, routerMac('lan0'));
  },
);

labTest('ARP that the kernel answers itself is not answered a second time', async (lab) => {
  const site = await new Site(lab).start();
  const host = site.host('home');
  await host.plug('lan0', 'silent');
  const capture = await Capture.start(host.namespace, 'eth0');
  assert.ok(host.pings('10.1.1.1'));
  await site.marpd.state(VISITOR, 'home');
  assert.equal(capture.arps({ opcode: 'reply', senderIp: '10.1.1.1' }).length, 1);
});

labTest('ten thousand newcomers at full speed all get their route, below 300 MB', async (lab) => {
  const site = await new Site(lab, {
    config: { subnet: [{ prefix: '10.64.0.0/16', gateway: '10.64.255.254' }] },
  }).start();
  const crowd = site.host('crowd', { address: '10.3.3.3/24', gateway: '10.3.3.1' });
  await crowd.plug('lan1', 'silent');
  const frames = await crowd.frames();
  frames.answer('10.64.0.1', 10_000);
  frames.burst('10.64.0.1', 10_000);
  await frames.flushed();
  await waitFor(() => site.marpd.routes().length >= 10_000, 30_000, '10,000 routes', 250);
  const routed = new Set(site.marpd.routes().map((route) => route.dst));
  assert.equal(routed.size, 10_000);
  const processes = residentMegabytes(site);
  const total = Object.values(processes).reduce((sum, megabytes) => sum + megabytes, 0);
  assert.ok(total < 300, `${total.toFixed(0)} MB resident: ${JSON.stringify(processes)}`);
});

// Of the daemon and its descendants, by process.
function residentMegabytes(site: Site): Record<string, number> {
  const found: Record<string, number> = {};
  for (const pid of descendants(site.marpd.pid)) {
    const name = `${commandLine(pid)
      .replace(/^\S*\//, '')
      .slice(-40)} (${pid})`;
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    found[name] = Math.round(kilobytes / 1024);
  }
  return found;
}

labTest(
  'an event has one time: in `why`, whenever it is asked, in the event stream and in the log',
  async (lab) => {
    const site = await new Site(lab).start();
    const told = new Map<string, string>();
    const stream = await site.marpd.ctl.follow((record) => {
      if (record.event === 'transition') told.set(`${record.from} -> ${record.to}`, String(record.time));
    });
    await site.host('visitor').plug('lan1', 'request');
    await site.marpd.state(VISITOR, 'settled');
    const asked = new Set<string>();
    for (let n = 0; n < 20; n++) {
      const { records } = (await site.marpd.ctl.why(VISITOR)) as WhyView;
      const moves = records.filter(({ kind }) => kind === 'transition');
      asked.add(moves.map(({ time }) => time).join());
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    await waitFor(() => told.size === 3, 5000, 'three transitions in the stream');
    stream.stop();
    const times = [...told.values()];
    assert.deepEqual([...asked], [times.join()]);
    for (const time of times)
      await site.marpd.said(new RegExp(`"time":"${time.replaceAll('.', '\\.')}".*"transition"`));
  },
);
