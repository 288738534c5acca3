import assert from 'node:assert/strict';
import type { Frames } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** RARP (EtherType 0x8035): all that QEMU says after a migration when the guest itself is silent (design.md 3.1, 5.10). */

const GUEST = '10.1.1.5';
const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };

// QEMU's five announcements.
async function qemuAnnounces(frames: Frames, mac: string): Promise<void> {
  let at = 0;
  for (const due of [0, 50, 200, 450, 800]) {
    await pause(due - at);
    at = due;
    frames.rarp(mac);
  }
}

labTest('RARP moves a known guest that says nothing else and never lost its carrier', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  const frames = await guest.frames();
  await guest.plug('lan2', 'silent', false);
  const announced = qemuAnnounces(frames, guest.mac);
  await site.marpd.routed(GUEST, 'lan2', 1000);
  await site.reachable(GUEST);
  assert.ok(guest.pings('192.0.2.2'), 'its gateway entry is repaired');
  await announced;
});

labTest('RARP brings a remembered guest back', async (lab) => {
  const site = await new Site(lab, { lans: LANS, config: { timers: { keepalive: '500ms' } } }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  guest.unplug(false);
  await site.marpd.state(GUEST, 'remembered', 5000);
  const frames = await guest.frames();
  await guest.plug('lan2', 'silent', false);
  await qemuAnnounces(frames, guest.mac);
  await site.marpd.routed(GUEST, 'lan2', 1000);
});

labTest(
  'RARP from an unknown MAC: it is asked by unicast for the addresses that are claimed elsewhere',
  async (lab) => {
    // The claims of the other router stay: ours is looked at while it is fresh.
    const site = await new Site(lab, { lans: LANS, config: { router: { settle: '5s' } } }).start();
    for (const ip of [GUEST, '10.1.1.6', '10.1.1.7']) {
      site.router.ip(`route add ${ip}/32 via 192.0.2.2 proto 188 metric 20`); // as FRR would
    }
    const guest = site.host('guest');
    const frames = await guest.frames();
    await guest.plug('lan2', 'silent', false);
    const capture = await Capture.start(site.router, 'lan2');
    await qemuAnnounces(frames, guest.mac);
    await site.marpd.routed(GUEST, 'lan2', 2000);
    for (const ip of ['10.1.1.6', '10.1.1.7']) {
      assert.deepEqual(site.marpd.routesOf(ip), []);
      const asked = capture.arps({ opcode: 'request', targetIp: ip, source: routerMac('lan2') });
      assert.ok(asked.length > 0 && asked.every((arp) => arp.destination === guest.mac), 'asked, by unicast');
    }
  },
);

labTest('a machine that answers for everything (proxy ARP) is believed for nothing', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  for (let i = 0; i < 5; i++)
    site.router.ip(`route add 10.1.1.${20 + i}/32 via 192.0.2.2 proto 188 metric 20`);
  const liar = site.host('liar', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  await liar.plug('lan2', 'silent');
  const frames = await liar.frames();
  frames.answer('0.0.0.0', 0xffff_ffff, liar.mac);
  await qemuAnnounces(frames, liar.mac);
  await waitFor(
    async () => (await site.marpd.ctl.status()).alarms.some((alarm) => alarm.alarm === 'proxy-arp'),
    3000,
    'the alarm proxy-arp',
  );
  await staysTrue(() => site.marpd.routes().length === 0, 1000, 'no route', 100);
});

labTest('RARP from a MAC that owns nothing changes nothing', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  const stranger = site.host('stranger', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  await stranger.plug('lan2', 'silent');
  await qemuAnnounces(await stranger.frames(), stranger.mac);
  const unmoved = () => site.marpd.routesOf(GUEST)[0]?.dev === 'lan1' && site.marpd.routes().length === 1;
  await staysTrue(unmoved, 600, 'the one route', 50);
});

labTest('forged RARP with the MAC of a living guest does not move it', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  const forger = site.host('forger', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  await forger.plug('lan2', 'silent');
  await qemuAnnounces(await forger.frames(), guest.mac);
  await staysTrue(() => site.marpd.routesOf(GUEST)[0]?.dev === 'lan1', 600, 'the route', 50);
  assert.ok(site.reaches(GUEST));
});
