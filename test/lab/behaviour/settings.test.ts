import assert from 'node:assert/strict';
import { foreignState } from '../kit/foreign.js';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { REAL_SETTLE, Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

const VISITOR = '10.1.1.5';

/** Effective values on a mobility interface: the larger of `all` and its own (or either of them). */
function effective(site: Site, key: string): number {
  return Math.max(...site.router.readSysctl(`ipv4.conf.all.${key}`, `ipv4.conf.lan1.${key}`));
}

const UNFIT = {
  'ipv4.ip_forward': 0,
  'ipv4.conf.all.proxy_arp': 1,
  'ipv4.conf.lan1.proxy_arp': 1,
  'ipv4.conf.lan0.arp_accept': 1,
  'ipv4.conf.all.send_redirects': 1,
  'ipv4.conf.lan0.send_redirects': 1,
  'ipv4.conf.lan1.arp_ignore': 0,
};

labTest('kernel settings are set for the effective value, and given back on exit', async (lab) => {
  const site = new Site(lab, { rpFilter: 1 });
  site.router.sysctl(UNFIT);
  const before = foreignState(site.router).sysctls;
  await site.start();
  assert.deepEqual(site.router.readSysctl('ipv4.ip_forward'), [1]);
  for (const key of ['proxy_arp', 'arp_accept', 'send_redirects']) assert.equal(effective(site, key), 0, key);
  assert.equal(effective(site, 'arp_ignore'), 1);
  assert.equal(effective(site, 'rp_filter'), 1, 'rp_filter is left as found');
  await site.marpd.said(/proxy_arp/);
  assert.equal(await site.marpd.stop(), 0);
  assert.deepEqual(foreignState(site.router).sysctls, before);
});

labTest('kernel settings are only checked when the configuration says so', async (lab) => {
  const site = new Site(lab, { config: { kernel: { settings: 'check' } } });
  site.router.sysctl(UNFIT);
  const before = foreignState(site.router).sysctls;
  await site.start();
  assert.deepEqual(foreignState(site.router).sysctls, before);
  await site.marpd.said(/proxy_arp/);
  const doctor = site.marpd.ctl.run('doctor');
  assert.equal(doctor.status, 1);
  assert.match(doctor.stdout, /proxy_arp/);
  assert.match(doctor.stdout, /sysctl/, 'and how to fix it');
});

labTest('an interface that comes later gets the settings as well', async (lab) => {
  const site = await new Site(lab, { config: { interface: [{ name: 'lan*' }] } }).start();
  site.router.sysctl({ 'ipv4.conf.default.proxy_arp': 1 });
  site.network.add('lan9');
  site.network.connect(site.router, 'lan9', 'lan9');
  site.router.ip('link set lan9 up');
  await site.marpd.captures('lan9');
  const values = () => site.router.readSysctl('ipv4.conf.lan9.proxy_arp', 'ipv4.conf.lan9.arp_ignore').join();
  await waitFor(() => values() === '0,1', 3000, 'proxy_arp = 0 and arp_ignore = 1');
  site.router.ip('link del lan9'); // gone before the settings could be given back
  assert.equal(await site.marpd.stop(), 0);
});

labTest('on_exit = "withdraw" (default): no route and no neighbour entry of ours is left', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  assert.equal(await site.marpd.stop(), 0);
  assert.deepEqual(site.marpd.routes(), []);
  assert.deepEqual(
    site.marpd.neighbours(VISITOR).filter((entry) => entry.state.includes('PERMANENT')),
    [],
  );
});

labTest(
  'on_exit = "keep": traffic flows on without the daemon, and the next one adopts the claims',
  async (lab) => {
    const site = await new Site(lab, { config: { router: { on_exit: 'keep' } } }).start();
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'request');
    await site.marpd.state(VISITOR, 'settled');
    assert.equal(await site.marpd.stop(), 0);
    assert.equal(site.marpd.routesOf(VISITOR)[0]?.dev, 'lan1');
    assert.deepEqual(site.router.readSysctl('ipv4.ip_forward'), [1], 'not back to 0 while routes are kept');
    assert.ok(site.reaches(VISITOR));
    const log = await RouteLog.start(site.router);
    const since = Date.now();
    await site.marpd.start('lan1');
    await site.marpd.state(VISITOR, 'settled', 5000);
    assert.deepEqual(
      log.of(VISITOR, since).filter((change) => change.deleted),
      [],
      'the adopted route was never taken away',
    );
  },
);

labTest(
  'adoption after a crash: fresh claims are settled first, absent hosts are found out and withdrawn',
  async (lab) => {
    const site = await new Site(lab, { config: { router: { settle: '5s' } } }).start();
    const present = site.host('present');
    const absent = site.host('absent', { address: '10.1.1.6/24' });
    await present.plug('lan1', 'request');
    await absent.plug('lan1', 'request');
    await site.marpd.routed(present.ip, 'lan1');
    await site.marpd.routed(absent.ip, 'lan1');
    await site.marpd.crash();
    absent.unplug();
    assert.ok(
      site.marpd.routesOf(present.ip).every((route) => route.metric === 1),
      'fresh when it crashed',
    );
    const capture = await Capture.start(site.router, 'lan1');
    const log = await RouteLog.start(site.router);
    await site.marpd.start();
    await site.marpd.state(present.ip, 'settled', 3000);
    assert.ok((site.marpd.routesOf(present.ip)[0]?.metric ?? 0) > 2 ** 24);
    await site.marpd.routed(absent.ip, undefined, 5000);
    assert.ok(capture.arps({ opcode: 'request', targetIp: present.ip }).length > 0, 'it was asked');
    const order = log
      .of(present.ip)
      .map((change) => `${change.deleted ? '-' : '+'}${/metric (\d+)/.exec(change.text)?.[1]}`);
    assert.deepEqual(order, [`+${210 * 2 ** 24 + 2}`, '-1'], 'settled first, then fresh away');
    assert.ok(site.reaches(present.ip));
  },
);

labTest('a claim ages from fresh to settled without a gap (design.md 3.3)', async (lab) => {
  const site = await new Site(lab, { config: { router: REAL_SETTLE } }).start();
  const log = await RouteLog.start(site.router);
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.state(VISITOR, 'settled');
  await waitFor(() => log.of(VISITOR).length >= 3, 3000, 'the route to be replaced', 5);
  const changes = log
    .of(VISITOR)
    .map((change) => `${change.deleted ? '-' : '+'}${/metric (\d+)/.exec(change.text)?.[1]}`);
  assert.deepEqual(changes, ['+1', `+${210 * 2 ** 24 + 2}`, '-1']);
  const [fresh, settled] = log.of(VISITOR);
  const age = (settled?.at ?? 0) - (fresh?.at ?? 0);
  // No other router had it: a quarter of `settle`.
  assert.ok(age > 200 && age < 1000, `${age.toFixed(0)} ms`);
});
