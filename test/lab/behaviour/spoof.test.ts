import assert from 'node:assert/strict';
import { Frames, Host, gratuitousRequest, macFor } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { Program, pause, staysTrue, waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { Site } from '../kit/site.js';
import { labSuite, labTest } from '../kit/lab-test.js';

/** Gratuitous ARP is unauthenticated (design.md C5): the proof comes first, and one forged frame moves nobody. */

const OWNER = '10.1.1.5';
const FORGER_MAC = '02:00:00:00:06:66';
const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };

// A station on `lan` that forges; its own stack has an address of that LAN and never answers for the owner.
async function forger(site: Site, lan: string): Promise<Frames> {
  const host = new Host(site.network, `evil-${lan}`, {
    address: '10.9.9.9/24',
    gateway: '10.9.9.1',
    mac: FORGER_MAC,
  });
  host.cable.plug(lan);
  await host.carrier();
  return host.frames();
}

for (const [where, ownLan] of [
  ['visits lan1', 'lan1'],
  ['is at home on lan0', 'lan0'],
] as const) {
  labTest(`a forged gratuitous ARP on lan2 moves nothing while the owner ${where}`, async (lab) => {
    const site = await new Site(lab, { lans: LANS }).start();
    const owner = site.host('owner');
    await owner.plug(ownLan, 'request');
    await site.reachable(OWNER);
    await site.marpd.state(OWNER, ownLan === 'lan0' ? 'home' : 'settled', 5000);
    const evil = await forger(site, 'lan2');
    const log = await RouteLog.start(site.router);
    const pings = new Program(site.remote, ['ping', '-n', '-i', '0.01', '-W', '1', OWNER], { quiet: true });
    const since = Date.now();
    await pause(200);
    for (let i = 0; i < 5; i++) {
      evil.gratuitous(OWNER, FORGER_MAC);
      evil.gratuitousReply(OWNER, FORGER_MAC);
      evil.gratuitous(OWNER, owner.mac); // the owner's own MAC, too
      await pause(200);
    }
    await staysTrue(() => log.of(OWNER, since).length === 0, 300, 'the untouched route');
    await pings.stop('SIGINT');
    assert.match(
      pings.output,
      / 0% packet loss/,
      pings.lines
        .slice(-3)
        .map((line) => line.text)
        .join('; '),
    );
    assert.deepEqual(log.of(OWNER, since), [], 'no route was touched');
    const alarms = (await site.marpd.ctl.status()).alarms.map((alarm) => alarm.alarm);
    assert.ok(!alarms.includes('frozen'), 'who only talks must not freeze the address of another');
    assert.equal((await site.marpd.ctl.host(OWNER))?.interface, ownLan);
    assert.deepEqual(await site.marpd.disagreements(), []);
  });
}

labTest('a forger that answers the proof as well does not get the address of a living owner', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  const owner = site.host('owner');
  await owner.plug('lan1', 'request');
  await site.marpd.state(OWNER, 'settled', 5000);
  const evil = await forger(site, 'lan2');
  evil.answer(OWNER, 1, FORGER_MAC);
  for (let i = 0; i < 4; i++) {
    evil.gratuitous(OWNER, FORGER_MAC);
    await pause(500);
  }
  await site.marpd.routed(OWNER, 'lan1', 3000);
  await site.reachable(OWNER);
  const status = await site.marpd.ctl.status();
  const duplicate = status.alarms.find((alarm) => alarm.alarm === 'duplicate' && alarm.ip === OWNER);
  assert.ok(duplicate, 'the alarm names the duplicate');
  const macs = [duplicate.mac, duplicate.otherMac].sort();
  assert.deepEqual(macs, [owner.mac, FORGER_MAC].sort());
});

labTest(
  'an address that is bound to a MAC is not learned from another one: drop reason mac-not-bound',
  async (lab) => {
    const config = { policy: { bind: [{ ip: OWNER, mac: macFor(OWNER) }] } };
    const site = await new Site(lab, { lans: LANS, config }).start();
    const evil = await forger(site, 'lan2');
    evil.answer(OWNER, 1, FORGER_MAC); // it would even prove itself
    evil.gratuitous(OWNER, FORGER_MAC);
    await waitFor(async () => (await site.marpd.ctl.dropped('mac-not-bound')) > 0, 2000, 'the drop');
    await staysTrue(() => site.marpd.routesOf(OWNER).length === 0, 1000, 'no route', 100);
    assert.match((await site.marpd.ctl.why(OWNER)).conclusion, /bound/);
    const owner = site.host('owner');
    await owner.plug('lan1', 'request');
    await site.marpd.routed(OWNER, 'lan1');
    evil.gratuitous(OWNER, FORGER_MAC);
    await staysTrue(() => site.marpd.routesOf(OWNER)[0]?.dev === 'lan1', 1000, 'the owner keeps it', 100);
  },
);

labTest(
  'the neighbour entry of a claimed host cannot be overwritten by forged ARP on its own LAN',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS }).start();
    const owner = site.host('owner');
    await owner.plug('lan1', 'request');
    await site.marpd.state(OWNER, 'settled', 5000);
    const evil = await forger(site, 'lan1');
    const before = site.marpd.neighbours(OWNER);
    for (let i = 0; i < 20; i++) {
      evil.gratuitousReply(OWNER, FORGER_MAC);
      evil.request(OWNER, FORGER_MAC, '10.2.2.1'); // addressed to the kernel itself
      evil.gratuitous(OWNER, FORGER_MAC);
      await pause(50);
    }
    const entries = () => JSON.stringify(site.marpd.neighbours(OWNER));
    await staysTrue(() => entries() === JSON.stringify(before), 300, 'the entry');
    assert.equal(before[0]?.lladdr, owner.mac);
    await site.reachable(OWNER);
  },
);

labTest(
  'a station that claims a configured gateway, and answers for it, raises other-router and is never learned',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS }).start();
    const evil = await forger(site, 'lan1');
    evil.answer('10.1.1.66', 1, FORGER_MAC);
    evil.answer('10.1.1.1', 1, FORGER_MAC);
    evil.gratuitous('10.1.1.1', FORGER_MAC);
    await waitFor(
      async () => (await site.marpd.ctl.status()).alarms.some((alarm) => alarm.alarm === 'other-router'),
      2000,
      'the alarm other-router',
    );
    evil.gratuitous('10.1.1.66', FORGER_MAC);
    await waitFor(async () => (await site.marpd.ctl.dropped('other-router')) > 0, 2000, 'the drop reason');
    await staysTrue(() => site.marpd.routes().length === 0, 1000, 'no route', 100);
  },
);

const SENDERS = [
  ['sender-ip-local', '10.3.3.1'],
  ['sender-ip-other-lan', '192.0.2.77'],
  ['sender-ip-multicast', '224.0.0.5'],
  ['sender-ip-reserved', '255.255.255.255'],
  ['sender-ip-loopback', '127.0.0.1'],
  ['sender-ip-subnet-edge', '10.1.1.255'],
  ['not-allowed', '172.16.5.5'],
] as const;

labSuite(
  'a sender that cannot be a visitor is dropped for its own reason',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS }).start();
    return { site, evil: await forger(site, 'lan1') };
  },
  ({ site, evil }) =>
    SENDERS.map(([reason, sender]) => [
      `sender ${sender}: ${reason}`,
      async () => {
        evil.answer(sender, 1, FORGER_MAC);
        evil.send(gratuitousRequest(sender, FORGER_MAC));
        await waitFor(
          async () => (await site.marpd.ctl.dropped(reason)) > 0,
          2000,
          `the drop reason ${reason}`,
        );
        assert.deepEqual(site.marpd.routes(), []);
      },
    ]),
);

const SENDER_MACS = [
  ['sender-mac-group', '03:00:00:00:00:01'],
  ['sender-mac-zero', '00:00:00:00:00:00'],
] as const;

labSuite(
  'a sender MAC that no host has is dropped for its own reason',
  async (lab) => {
    const config = { interface: [{ name: 'lan*' }, { name: 'tap0' }] };
    const site = await new Site(lab, { config }).start();
    // through a tap: a bridge would not pass such a frame
    const guest = await Frames.guest(site.router, 'tap0');
    await site.marpd.captures('tap0');
    return { site, guest };
  },
  ({ site, guest }) =>
    SENDER_MACS.map(([reason, mac]) => [
      `sender MAC ${mac}: ${reason}`,
      async () => {
        guest.gratuitous('10.1.1.44', mac);
        await waitFor(
          async () => (await site.marpd.ctl.dropped(reason)) > 0,
          2000,
          `the drop reason ${reason}`,
        );
        assert.deepEqual(site.marpd.routes(), []);
      },
    ]),
);

labTest('a sender MAC that is not the Ethernet source is dropped: sender-mac-mismatch', async (lab) => {
  const site = await new Site(lab, { lans: LANS }).start();
  const evil = await forger(site, 'lan1');
  const frame = gratuitousRequest('10.1.1.44', FORGER_MAC);
  frame[11] = 0x67; // another source in the Ethernet header
  const capture = await Capture.start(site.router, 'lan1');
  evil.send(frame);
  await waitFor(() => capture.frames().length > 0, 2000, 'the frame');
  await waitFor(
    async () => (await site.marpd.ctl.dropped('sender-mac-mismatch')) > 0,
    2000,
    'the drop reason',
  );
});
