import assert from 'node:assert/strict';
import type { Host } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/**
 * Address conflict detection (RFC 5227). A host sees a conflict when any frame carries its address as sender with
 * another MAC than its own, or, while it probes, when somebody else probes for the same address.
 */

const HOST = '10.1.1.5';

function conflicts(capture: Capture, host: Host): string[] {
  return capture
    .arps()
    .filter((arp) => arp.source !== host.mac)
    .filter((arp) => arp.senderIp === HOST || (arp.senderIp === '0.0.0.0' && arp.targetIp === HOST))
    .map((arp) => `${arp.opcode} ${arp.senderIp} is ${arp.senderMac}, target ${arp.targetIp}`);
}

// Windows and systemd-networkd: three probes, a pause, two announcements (RFC 5227 sections 2.1.1 and 2.3).
async function windowsStyle(host: Host): Promise<void> {
  const frames = await host.frames();
  for (let i = 0; i < 3; i++) {
    frames.request('0.0.0.0', host.mac, HOST);
    await pause(300);
  }
  for (let i = 0; i < 2; i++) {
    frames.gratuitous(HOST, host.mac);
    await pause(300);
  }
}

async function detectionsSeeNothing(site: Site, host: Host, capture: Capture): Promise<void> {
  assert.ok(host.addressIsFree(), 'arping -D sees nobody');
  await windowsStyle(host);
  await staysTrue(() => conflicts(capture, host).length === 0, 500, 'no conflict').catch(() =>
    assert.deepEqual(conflicts(capture, host), []),
  );
  assert.equal(site.marpd.program?.running, true);
}

for (const [where, lan] of [
  ['at home', 'lan0'],
  ['as a visitor', 'lan1'],
] as const) {
  labTest(
    `a host that is switched on ${where} sees no conflict caused by us (RFC 5227 section 2.1)`,
    async (lab) => {
      const site = await new Site(lab).start();
      const host = site.host('host');
      const capture = await Capture.start(host.namespace, 'eth0');
      await host.plug(lan, 'silent');
      await detectionsSeeNothing(site, host, capture);
      await site.reachable(HOST);
      // again, while it is known, claimed and kept alive
      await detectionsSeeNothing(site, host, capture);
    },
  );
}

/**
 * The home LAN was told three times, over 2 s, where the host's traffic goes. A host that comes back between two of these
 * frames and has not said a word yet is known to nobody; from its first word on the rest is not sent.
 */
async function homeLanIsTold(site: Site): Promise<void> {
  const sent = /^marpd_frames_sent_total\{[^}]*purpose="announce"[^}]*\} 3$/m;
  await waitFor(
    async () => sent.test((await site.marpd.ctl.exchange('GET', '/metrics')).body),
    5000,
    'three announcements on the home LAN',
  );
}

for (const carrierDrop of [true, false]) {
  const how = carrierDrop ? 'after a carrier drop' : 'without one';
  labTest(
    `a host that returns home, ${how}, sees no conflict although it is still claimed elsewhere`,
    async (lab) => {
      const site = await new Site(lab).start();
      const host = site.host('host');
      const capture = await Capture.start(host.namespace, 'eth0');
      await host.plug('lan1', 'request');
      await site.reachable(HOST);
      await site.marpd.state(HOST, 'settled');
      await homeLanIsTold(site);
      await host.plug('lan0', 'silent', carrierDrop);
      await detectionsSeeNothing(site, host, capture);
      await site.marpd.state(HOST, 'home', 6000);
      await site.reachable(HOST);
    },
  );
}

labTest('a visitor that moves on to the next LAN sees no conflict', async (lab) => {
  const lans = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };
  const site = await new Site(lab, { lans }).start();
  const host = site.host('host');
  const capture = await Capture.start(host.namespace, 'eth0');
  await host.plug('lan1', 'request');
  await site.marpd.state(HOST, 'settled');
  await host.plug('lan2', 'silent');
  await detectionsSeeNothing(site, host, capture);
  await site.marpd.routed(HOST, 'lan2');
});

for (const [where, lan] of [
  ['at home', 'lan0'],
  ['among visitors', 'lan1'],
] as const) {
  labTest(
    `a genuine duplicate on the same LAN ${where} is still seen (RFC 5227 section 2.1.1)`,
    async (lab) => {
      const site = await new Site(lab).start();
      const host = site.host('host');
      const twin = site.host('twin', { mac: '02:00:00:00:00:99' });
      await host.plug(lan, 'request');
      await site.reachable(HOST);
      await twin.plug(lan, 'silent');
      assert.equal(twin.addressIsFree(), false, 'the second one learns that the address is taken');
      assert.equal(host.addressIsFree(), false, 'and so does the first one when it asks');
    },
  );
}

labTest('a probe for an away host is never answered on its behalf, not even at home', async (lab) => {
  const site = await new Site(lab).start();
  const host = site.host('host');
  const stranger = site.host('stranger', { address: '10.1.1.9/24' });
  await stranger.plug('lan0', 'request');
  const capture = await Capture.start(stranger.namespace, 'eth0');
  await host.plug('lan1', 'request');
  await site.marpd.state(HOST, 'settled');
  // The announcements of its departure say that it has the address, to whoever is not the host (RFC 5944 section 4.6).
  await waitFor(() => capture.arps({ senderIp: HOST }).length >= 3, 5000, 'the announcements');
  assert.ok(stranger.addressIsFree(HOST), 'nobody on this LAN has it');
  assert.deepEqual(capture.arps({ opcode: 'reply', senderIp: HOST }), []);
});
