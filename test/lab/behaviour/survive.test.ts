import assert from 'node:assert/strict';
import { seeded } from '../../random.js';
import { foreignState } from '../kit/foreign.js';
import { type Frames, gratuitousRequest, macFor } from '../kit/host.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import { commandLine, descendants, signalIfAlive } from '../kit/processes.js';
import { pause, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';
import { SOAK, labTest } from '../kit/lab-test.js';

/** Capture that survives, a kernel executor that survives, and state that agrees afterwards (design.md 5.1, 5.4, 3.2). */

const CROWD = 40;
const FIRST = '10.1.1.100';
const crowdIps = Array.from({ length: CROWD }, (_, i) => `10.1.1.${100 + i}`);

// A LAN full of played visitors, and things in the kernel that are none of marpd's business.
async function crowdedSite(lab: Lab): Promise<{ site: Site; crowd: Frames }> {
  const site = new Site(lab, { config: { timers: { keepalive: '2s' } } });
  plantForeign(site.router);
  await site.start();
  const host = site.host('crowd', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  host.cable.plug('lan1');
  await host.carrier();
  const crowd = await host.frames();
  crowd.answer(FIRST, CROWD);
  crowd.burst(FIRST, CROWD);
  await waitFor(() => site.marpd.routes().length >= CROWD, 5000, 'the crowd to be routed', 50);
  return { site, crowd };
}

function plantForeign(router: Namespace): void {
  router.ip(
    'route add 198.51.100.0/24 via 192.0.2.2 proto static',
    'route add 198.51.100.7/32 via 192.0.2.2 proto 188 metric 20',
    'route add 10.1.1.250/32 dev lan1 scope link proto static metric 7',
    'route add blackhole 10.1.1.251/32 proto 186 metric 20 table 77',
    'neigh add 10.1.1.250 lladdr 02:00:00:00:02:50 dev lan1 nud permanent',
    'neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev up0 nud permanent',
    'addr add 203.0.113.1/32 dev lo',
  );
}

async function agrees(site: Site, withinMs: number): Promise<void> {
  await waitFor(
    async () => (await site.marpd.disagreements()).length === 0,
    withinMs,
    'kernel and daemon to agree',
    100,
  );
}

async function crowdIsBack(site: Site, withinMs: number): Promise<void> {
  await waitFor(
    () => {
      const routed = new Set(site.marpd.routes().map((route) => route.dst));
      return crowdIps.every((ip) => routed.has(ip));
    },
    withinMs,
    'the whole crowd to be routed',
    100,
  );
}

function childPids(site: Site, pattern: RegExp): number[] {
  return descendants(site.marpd.pid)
    .slice(1)
    .filter((pid) => pattern.test(commandLine(pid)));
}

/** Whatever captures: for ARP, and for misdirected packets of visitors. */
function captureChildren(site: Site): number[] {
  return childPids(site, /node.*capture|capture.*child/);
}

function ipCoprocess(site: Site): number | undefined {
  return childPids(site, /^ip\b.*-batch/)[0];
}

const FLAPS = SOAK ? 1000 : 20;

labTest(
  `${FLAPS} flaps of a captured interface stop neither the daemon nor the capture on the other one`,
  async (lab) => {
    const { site, crowd } = await crowdedSite(lab);
    const before = foreignState(site.router).sysctls;
    const other = site.host('other', { address: '10.2.2.7/24', gateway: '10.2.2.1' });
    await other.plug('lan0', 'request');
    await site.marpd.routed('10.2.2.7', 'lan0');
    const speaker = await other.frames();
    const pid = site.marpd.pid;
    const heard = async () =>
      (await site.marpd.ctl.interfaces()).find((view) => view.name === 'lan0')?.frames ?? 0;
    const wire = await Capture.start(site.router, 'lan0', 'arp');
    const there = () => wire.arps({ source: other.mac }).length;
    const framesBefore = (await heard()) - there();
    for (let i = 0; i < FLAPS; i++) {
      if (i % 2 === 0) {
        site.router.ip('link set lan1 down', 'link set lan1 up');
      } else {
        site.network.namespace.ip('link set router-lan1 down', 'link set router-lan1 up');
      }
      speaker.gratuitous('10.2.2.7', other.mac);
      if (i % 10 === 9) await pause(30);
    }
    assert.equal(site.marpd.program?.running, true);
    assert.equal(site.marpd.pid, pid);
    // Keepalives are answered on the way: tcpdump says how many frames there were to hear.
    await waitFor(
      async () => (await heard()) - framesBefore === there(),
      5000,
      `every frame of the other interface: ${there()}`,
    );
    assert.ok(there() >= FLAPS);
    // foreign routes over lan1 are the administrator's to restore: the kernel itself deleted them at link down
    await site.marpd.captures('lan1');
    crowd.burst(FIRST, CROWD, 1000);
    await crowdIsBack(site, 8000);
    await agrees(site, 5000);
    assert.deepEqual(foreignState(site.router).sysctls, before);
    assert.equal(site.marpd.routesOf('10.2.2.7').length > 0, true);
  },
  SOAK ? 600_000 : 60_000,
);

labTest('an interface that is deleted and made again is captured again', async (lab) => {
  const { site } = await crowdedSite(lab);
  for (let i = 0; i < 3; i++) {
    site.router.ip('link del lan1');
    await waitFor(() => site.marpd.routes().length === 0, 2000, 'no route without the interface');
    site.network.connect(site.router, 'lan1', 'lan1');
    site.router.ip('addr add 10.2.2.1/24 dev lan1', 'link set lan1 up');
    await site.marpd.captures('lan1');
    await crowdIsBack(site, 6000); // remembered, asked when the link returns
  }
  await agrees(site, 3000);
});

labTest(
  'kill -9 of the capture child: it is started again, no claim is lost, newcomers are learned',
  async (lab) => {
    const { site, crowd } = await crowdedSite(lab);
    const before = foreignState(site.router);
    for (let i = 0; i < 3; i++) {
      const { capture } = await site.marpd.ctl.status();
      const children = captureChildren(site);
      assert.ok(children.length > 0, 'there are capture children');
      for (const child of children) signalIfAlive(child, 'SIGKILL');
      await waitFor(
        async () => (await site.marpd.ctl.status()).capture.restarts > capture.restarts,
        5000,
        'the daemon has noticed',
      );
      await site.marpd.captures('lan1');
      await site.marpd.captures('lan0');
      const newcomer = `10.1.1.${200 + i}`;
      crowd.answer(newcomer);
      crowd.gratuitous(newcomer, macFor(newcomer));
      await site.marpd.routed(newcomer, 'lan1');
    }
    await crowdIsBack(site, 8000);
    await agrees(site, 3000);
    assert.deepEqual(foreignState(site.router), before);
  },
);

labTest(
  'kill -9 of the ip co-process: it is started again and nothing that was asked of it is lost',
  async (lab) => {
    const { site, crowd } = await crowdedSite(lab);
    const before = foreignState(site.router);
    for (let i = 0; i < 3; i++) {
      const coprocess = ipCoprocess(site);
      assert.ok(coprocess !== undefined, 'there is a co-process');
      // newcomers while it dies
      const first = `10.1.1.${150 + i * 20}`;
      crowd.answer(first, 20);
      crowd.burst(first, 20);
      process.kill(coprocess, 'SIGKILL');
      await waitFor(
        () => {
          const routed = new Set(site.marpd.routes().map((route) => route.dst));
          return Array.from({ length: 20 }, (_, j) => `10.1.1.${150 + i * 20 + j}`).every((ip) =>
            routed.has(ip),
          );
        },
        6000,
        'the newcomers',
        50,
      );
    }
    await crowdIsBack(site, 3000);
    await agrees(site, 3000);
    assert.deepEqual(foreignState(site.router), before);
  },
);

labTest(
  'kill -9 of the daemon at random moments: nothing lingers, its routes stay, the next one agrees with the kernel',
  async (lab) => {
    const { site, crowd } = await crowdedSite(lab);
    const strangers = foreignState(site.router);
    const random = seeded();
    const rounds = SOAK ? 40 : 5;
    for (let i = 0; i < rounds; i++) {
      const family = descendants(site.marpd.pid);
      crowd.burst(FIRST, CROWD, 2000);
      await pause(random() * 60);
      await site.marpd.crash();
      await waitFor(() => family.every((pid) => commandLine(pid) === ''), 2000, 'the end of its children');
      assert.ok(site.marpd.routes().length > 0, 'a crash loses nothing: the kernel holds the state');
      await site.marpd.start('lan1');
      await pause(random() * 300);
    }
    await crowdIsBack(site, 10_000);
    await agrees(site, 5000);
    assert.deepEqual(foreignState(site.router), strangers);
    assert.equal(await site.marpd.stop(), 0);
    assert.deepEqual(site.marpd.routes(), []);
  },
  SOAK ? 300_000 : 60_000,
);

labTest(
  'marpd gives the kernel its own settings back even after a crash, and touches nothing of others',
  async (lab) => {
    const site = new Site(lab);
    plantForeign(site.router);
    const before = foreignState(site.router);
    await site.start();
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'request');
    await site.marpd.routed('10.1.1.5', 'lan1');
    await site.marpd.crash();
    await site.marpd.start('lan1');
    await site.marpd.stop();
    assert.deepEqual(foreignState(site.router), before);
    const ours = site.router.json<object>('neigh', 'show').filter((entry) => 'extern_learn' in entry);
    assert.deepEqual(ours, []);
  },
);

labTest(
  'routes that somebody else deletes or flushes are put back',
  async (lab) => {
    const { site } = await crowdedSite(lab);
    site.router.ip('route flush proto 44');
    await crowdIsBack(site, 5000);
    site.router.ipQuietly(...crowdIps.map((ip) => `neigh del ${ip} dev lan1`));
    await waitFor(
      () =>
        site.marpd
          .neighbours()
          .filter((entry) => entry.state.includes('PERMANENT') && 'extern_learn' in entry).length >= CROWD,
      // neighbour entries are compared by the slow reconciliation only
      70_000,
      'the neighbour entries',
      500,
    );
  },
  90_000,
);

labTest(
  'the removal of the last address of an interface, which deletes routes without a word, is repaired',
  async (lab) => {
    const { site } = await crowdedSite(lab);
    site.router.ip('addr flush dev lan1');
    await pause(200);
    site.router.ip('addr add 10.2.2.1/24 dev lan1');
    await crowdIsBack(site, 8000);
    await agrees(site, 3000);
  },
);

labTest('frames reach the daemon in order and complete while another interface is flooded', async (lab) => {
  const { site, crowd } = await crowdedSite(lab);
  const other = site.host('other', { address: '10.2.2.7/24', gateway: '10.2.2.1' });
  const capture = await Capture.start(other.namespace, 'eth0');
  // refreshes of a host that is known already, 20,000 of them
  crowd.repeat(frameOf(crowdIps[0] as string), 20_000, 20_000);
  const spoke = await other.plug('lan0', 'request');
  await site.marpd.routed('10.2.2.7', 'lan0', 3000);
  const proof = await capture.arp(
    { opcode: 'request', targetIp: '10.2.2.7', senderIp: '10.2.2.1' },
    5000,
    spoke - 1,
  );
  assert.ok(proof.at - spoke < 3000, `the question went out after ${(proof.at - spoke).toFixed(1)} ms`);
  await crowd.flushed();
  await agrees(site, 5000);
});

function frameOf(ip: string): Uint8Array {
  return gratuitousRequest(ip, macFor(ip));
}
