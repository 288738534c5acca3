import assert from 'node:assert/strict';
import { Host } from '../kit/host.js';
import { labTest, SOAK } from '../kit/lab-test.js';
import { Capture } from '../kit/pcap.js';
import type { Namespace } from '../kit/namespace.js';
import { pause, waitFor } from '../kit/program.js';
import { ExampleSite } from '../routed/example-site.js';
import { monotonicNs, Stream } from '../routed/gauges.js';
import { NEIGHBOUR } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { formatIp, type Ip, parseIp } from '../../../src/wire/addresses.js';

/** The files of docs/virtual-subnet.md, as they are, on two routers of a lab. */

const HOST = '10.1.1.5';
const OTHER = '10.1.1.7';
const SILENT = '10.1.1.8';
const GATEWAY = '10.1.1.1';

/** The same files with room for thousands of hosts, which are not searched for. */
const wide = (text: string) =>
  text
    .replaceAll('10.1.1.0/24', '10.1.0.0/16')
    .replaceAll('10.1.1.1/24', '10.1.1.1/16')
    .replace('discover = true', '');

labTest(
  'the Virtual Subnet example: hosts on two LANs reach each other, one moves and returns, a silent one is found',
  async (lab) => {
    const site = new ExampleSite(lab, 'virtual-subnet');
    const { network, r1, r2, marpds } = site;
    const host = (role: string, ip: string) =>
      new Host(network, role, { address: `${ip}/24`, gateway: GATEWAY });
    const silent = host('silent', SILENT);
    await silent.plug('net2', 'silent');
    await site.start();
    const hasRoute = (router: Namespace, ip: string, gateway: string) => () =>
      router
        .json<{ dst: string; gateway?: string }>('route', 'show')
        .some((route) => route.dst === ip && route.gateway === gateway);
    await waitFor(hasRoute(r1, SILENT, '192.0.2.2'), 30_000, 'the silent host to be found, and r1 to know');
    const [mobile, other] = [host('mobile', HOST), host('other', OTHER)];
    await mobile.plug('net1', 'request');
    await other.plug('net2', 'request');
    await waitFor(hasRoute(r1, OTHER, '192.0.2.2'), 5000, 'the route of r1 to the other host');
    await waitFor(hasRoute(r2, HOST, '192.0.2.1'), 5000, 'the route of r2 to the mobile host');
    assert.ok(mobile.pings(OTHER, 2), 'from LAN to LAN');
    assert.ok(mobile.pings(SILENT, 2), 'to the one that was silent');
    await mobile.plug('net2', 'request');
    await marpds.get('r2')?.routed(HOST, 'lan0');
    await marpds.get('r1')?.state(HOST, 'away');
    assert.ok(mobile.pings(OTHER, 2), 'on one LAN');
    await mobile.plug('net1', 'request');
    await marpds.get('r1')?.routed(HOST, 'lan0');
    await marpds.get('r2')?.state(HOST, 'away');
    assert.ok(mobile.pings(OTHER, 2), 'back again');
  },
  90_000,
);

labTest(
  'many hosts on each side (a thousand in the long run): each is answered for on the other, none is announced there',
  async (lab) => {
    const COUNT = SOAK ? 1000 : 200;
    const CROWDS = { r1: '10.1.4.1', r2: '10.1.8.1' } as const;
    const { network, r1, marpds } = await new ExampleSite(lab, 'virtual-subnet', wide).start();
    await waitFor(
      () =>
        r1
          .json<{ dst: string; protocol: string }>('route', 'show')
          .some(({ dst }) => dst.startsWith('10.1.')),
      30_000,
      'the LAN',
    );
    const sent = async (role: string) => {
      const metrics = (await marpds.get(role)?.ctl.exchange('GET', '/metrics'))?.body ?? '';
      return Number(/^marpd_frames_sent_total\{.*purpose="announce".*\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
    };
    for (const [role, first] of Object.entries(CROWDS)) {
      const crowd = new Host(network, `crowd-${role}`, { address: '10.1.2.1/16', gateway: GATEWAY });
      await crowd.plug(role === 'r1' ? 'net1' : 'net2', 'silent');
      const frames = await crowd.frames();
      frames.answer(first, COUNT);
      frames.burst(first, COUNT, 2000);
      await frames.flushed();
    }
    for (const role of Object.keys(CROWDS)) {
      const states = async () => (await marpds.get(role)?.ctl.status())?.hosts;
      await waitFor(
        async () => {
          const hosts = await states();
          return (hosts?.settled ?? 0) >= COUNT && (hosts?.away ?? 0) >= COUNT;
        },
        30_000,
        `all hosts at ${role}`,
      );
      assert.deepEqual((await marpds.get(role)?.ctl.status())?.alarms, []);
      assert.equal(await sent(role), 0, 'nobody was announced');
    }
    const asker = new Host(network, 'asker', { address: '10.1.2.9/16', gateway: GATEWAY });
    await asker.plug('net1', 'request');
    const capture = await Capture.start(asker.namespace, 'eth0', 'arp');
    const frames = await asker.frames();
    const all = Array.from({ length: COUNT }, (_, i) => addressAt(CROWDS.r2, i));
    for (const ip of all) frames.request('10.1.2.9', asker.mac, ip);
    await frames.flushed();
    const answered = () => new Set(capture.arps({ opcode: 'reply' }).map(({ senderIp }) => senderIp));
    await waitFor(() => all.every((ip) => answered().has(ip)), 10_000, 'an answer for each of them');
  },
  120_000,
);

/** Half of the moves may take no longer than that; a busy box delays single ones. */
const LOST_MS = 50;

for (const engine of SOAK ? (['frr-ospf', 'bird-bgp'] as const) : [])
  labTest(
    `${engine}: what a neighbour of a host loses while that moves between two LANs of its subnet`,
    async (lab) => {
      const site = await new RoutedSite(lab, engine, { virtualSubnet: true }).start();
      const mobile = site.host();
      const neighbour = site.host('neighbour', { address: `${NEIGHBOUR}/24` });
      const other = site.host('other', { address: `${OTHER}/24` });
      for (const host of [mobile, neighbour]) await host.plug('net1', 'request');
      await other.plug('net2', 'request');
      await waitFor(
        () => neighbour.pings(HOST) && other.pings(HOST) && other.pings(NEIGHBOUR),
        5000,
        'everybody to reach each other',
      );
      await Stream.echo(mobile.namespace);
      const streams = [];
      for (const { namespace } of [neighbour, other]) streams.push(await Stream.start(namespace, HOST));
      const outages: number[][] = [[], []];
      for (let i = 0; i < 10; i++) {
        await pause(1500);
        const { spoke } = await site.move(mobile, i % 2 === 0 ? 'r2' : 'r1');
        await pause(2000);
        const of = streams[i % 2] as Stream;
        // Each of them is where the host was.
        outages[i % 2]?.push((await of.window(spoke, monotonicNs() - 5e7)).outageMs);
      }
      console.log(
        `# ${engine}: ${outages.map((ways) => ways.map((ms) => ms.toFixed(0)).join(', ')).join('; back ')} ms`,
      );
      for (const ways of outages) {
        const median = [...ways].sort((a, b) => a - b)[2] as number;
        assert.ok(median <= LOST_MS, `${median.toFixed(0)} ms`);
      }
      for (const { ctl } of site.marpds.values()) assert.deepEqual((await ctl.status()).alarms, []);
    },
    120_000,
  );

function addressAt(first: string, offset: number): string {
  return formatIp(((parseIp(first) as number) + offset) as Ip);
}
