import assert from 'node:assert/strict';
import { Capture } from '../kit/pcap.js';
import { labTest } from '../kit/lab-test.js';
import { waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';

/** A virtual router's gateway on a macvlan (design.md 3.2): one LAN, one MAC, and the kernel does its part. */

const LANS = { lan0: '10.1.1.2/24', lan1: '10.3.3.1/24' };
const VIRTUAL_MAC = '00:00:5e:00:01:07';
const HOME = '10.1.1.6';
const VISITOR = '10.2.2.5';

labTest('hosts at home and visitors know the virtual MAC alone, and are reached', async (lab) => {
  const site = new Site(lab, { lans: LANS, rpFilter: 0 });
  site.router.ip(
    `link add link lan0 name gw0 address ${VIRTUAL_MAC} type macvlan mode private`,
    'addr add 10.1.1.1/32 dev gw0',
    'link set gw0 up',
  );
  await site.start();
  const settings = () =>
    site.router.readSysctl('ipv4.conf.lan0.arp_announce', 'ipv4.conf.lan0.arp_ignore').join();
  await waitFor(() => settings() === '2,1', 3000, 'the settings of a LAN with a macvlan');
  const capture = await Capture.start(site.router, 'lan0');
  const home = site.host('home', { address: `${HOME}/24` });
  const visitor = site.host('visitor', { address: `${VISITOR}/24`, gateway: '10.2.2.1' });
  await home.plug('lan0', 'request');
  await visitor.plug('lan0', 'request');
  await site.marpd.state(VISITOR, 'settled', 5000);
  await site.marpd.state(HOME, 'home', 5000);
  await site.reachable(VISITOR);
  await site.reachable(HOME);
  assert.equal(home.neighbour('10.1.1.1')?.mac, VIRTUAL_MAC);
  assert.equal(visitor.neighbour('10.2.2.1')?.mac, VIRTUAL_MAC);
  assert.ok(home.pings(VISITOR, 2), 'each other');
  const virtual = () => capture.arps({ source: VIRTUAL_MAC, senderIp: '10.2.2.1' });
  await waitFor(() => virtual().length > 0, 2000, 'the proof of the visitor in the capture');
  const said = capture.arps({}).filter(({ source }) => source === routerMac('lan0'));
  assert.deepEqual(
    said.filter(({ senderIp }) => senderIp === '10.1.1.1' || senderIp === '10.2.2.1'),
    [],
    'no gateway at the MAC of the interface',
  );
  const drops = await site.marpd.ctl.drops();
  assert.ok(!drops.some(({ reason }) => reason === 'sender-ip-other-lan'), JSON.stringify(drops));

  site.router.sysctl({ 'ipv4.conf.gw0.rp_filter': 1 });
  const doctor = site.marpd.ctl.run('doctor');
  assert.match(doctor.stdout, /rp_filter is strict on gw0/);
  assert.equal(await site.marpd.stop(), 0);
  assert.equal(settings(), '2,1', 'the virtual router goes on');
});

labTest('a macvlan that comes and goes: hosts follow the gateway to its MAC and back', async (lab) => {
  const site = await new Site(lab, { lans: LANS, rpFilter: 0 }).start();
  const visitor = site.host('visitor', { address: `${VISITOR}/24`, gateway: '10.2.2.1' });
  await visitor.plug('lan0', 'request');
  await site.marpd.state(VISITOR, 'settled', 5000);
  await site.reachable(VISITOR);
  const gateway = () => visitor.neighbour('10.2.2.1')?.mac;
  assert.equal(gateway(), routerMac('lan0'));
  site.router.ip(
    `link add link lan0 name gw0 address ${VIRTUAL_MAC} type macvlan mode private`,
    'addr add 10.1.1.1/32 dev gw0',
    'link set gw0 up',
  );
  await waitFor(() => gateway() === VIRTUAL_MAC, 3000, 'the virtual MAC for the gateway');
  await site.reachable(VISITOR);
  site.router.ip('link del gw0');
  await waitFor(() => gateway() === routerMac('lan0'), 3000, 'the MAC of the interface again');
  await site.reachable(VISITOR);
});
