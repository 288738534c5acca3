import assert from 'node:assert/strict';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { NeighbourMessage } from '../../../src/mobility/neighbour/message.js';
import {
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  formatIp,
  formatMac,
  low24,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { Frames } from '../kit/host.js';
import { labSuite } from '../kit/lab-test.js';
import { type Lab, type Namespace, run } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import { Program, waitFor } from '../kit/program.js';

/** Each frame that the driver of IPv6 makes, as Wireshark reads it, and what a Linux host does about it. */

const ip = (text: string): Ipv6 => parseIp(text) as Ipv6;
const mac = (text: string): Mac => parseMac(text) as Mac;

const HOST = ip('2001:db8:1::5');
const HOST_LINK_LOCAL = ip('fe80::aff:fe01:105');
const HOST_MAC = mac('02:00:0a:01:01:05');
const GATEWAY = ip('fe80::1');
const NEIGHBOUR = ip('2001:db8:1::9');
const OWN = mac('02:00:0a:01:01:01');
const OTHER_MAC = mac('02:00:0a:01:01:09');
const OWN_LINK_LOCAL = ip('fe80::aff:fe01:101');
const GATEWAY_MANNER = { linkLocal: undefined, isRouter: true, isOverride: true };
const PROXY_MANNER = { linkLocal: OWN_LINK_LOCAL, isRouter: false, isOverride: false };

interface Neighbour {
  readonly dst: string;
  readonly lladdr?: string;
  readonly state?: readonly string[];
  readonly router?: null;
}

class Pair {
  private constructor(
    readonly host: Namespace,
    readonly frames: Frames,
    readonly capture: Capture,
  ) {}

  /** A Linux host, and at the other end of its cable nothing but what this test sends. */
  static async start(lab: Lab): Promise<Pair> {
    const [host, wire] = lab.create('host', 'wire') as [Namespace, Namespace];
    lab.link(host, 'eth0', wire, 'lan0');
    host.ip(`link set eth0 address ${formatMac(HOST_MAC)}`);
    wire.ip(`link set lan0 address ${formatMac(OWN)} up`);
    const capture = await Capture.start(wire, 'lan0', 'ip6');
    host.sysctl({ 'ipv6.conf.all.disable_ipv6': 0, 'ipv6.conf.eth0.disable_ipv6': 0 });
    host.sysctl({ 'ipv6.conf.eth0.accept_dad': 0 });
    host.ip('link set eth0 up', `addr add ${formatIp(HOST)}/64 dev eth0 nodad`);
    const frames = await Frames.start(wire, 'lan0');
    const pair = new Pair(host, frames, capture);
    await pair.hears(({ kind }) => kind === 'presence', 0);
    return pair;
  }

  /** What the host is heard to say from the frame with this number on. */
  said(from: number): NeighbourMessage[] {
    return this.capture
      .frames()
      .slice(from)
      .map(({ bytes }) => ndDriver.decode(bytes))
      .filter((message) => typeof message !== 'string')
      .filter(({ source }) => source === HOST_MAC);
  }

  hears(wanted: (message: NeighbourMessage) => boolean, from: number): Promise<NeighbourMessage> {
    return waitFor(() => this.said(from).find(wanted), 5000, 'a word of the host');
  }

  /** What the host answers to this frame. */
  async ask(bytes: Uint8Array, wanted: (message: NeighbourMessage) => boolean): Promise<NeighbourMessage> {
    const from = this.capture.frames().length;
    this.frames.send(bytes);
    return this.hears(wanted, from);
  }

  /** The host believes, and has just heard, that this address is somewhere else. */
  believe(address: Ipv6, state: string): void {
    const entry = `${formatIp(address)} dev eth0 lladdr ${formatMac(OTHER_MAC)} nud ${state}`;
    this.host.ip(`neigh replace ${entry}`);
  }

  entry(address: Ipv6): Neighbour | undefined {
    const entries = this.host.json<Neighbour>('-6', 'neigh', 'show', 'dev', 'eth0');
    return entries.find(({ dst }) => dst === formatIp(address));
  }

  async becomes(address: Ipv6, expected: Mac): Promise<Neighbour> {
    const isAt = () => {
      const entry = this.entry(address);
      return entry?.lladdr === formatMac(expected) ? entry : undefined;
    };
    return waitFor(isAt, 5000, `${formatIp(address)} at ${formatMac(expected)}`);
  }
}

const isReplyTo = (asker: Ipv6) => (message: NeighbourMessage) =>
  message.kind === 'sighting' && message.form === 'reply' && message.answeredTo === asker;

labSuite('frames of the IPv6 driver and a Linux host (RFC 4861)', Pair.start, (pair) => [
  [
    'a proof is answered by unicast to who is named, and repairs the entry of the gateway in whatever state it is',
    async () => {
      for (const state of ['reachable', 'stale', 'delay', 'probe', 'failed']) {
        if (state !== 'failed') pair.believe(GATEWAY, state);
        else pair.host.ip(`neigh replace ${formatIp(GATEWAY)} dev eth0 nud failed`);
        const answer = await pair.ask(ndDriver.probe(OWN, HOST_MAC, GATEWAY, HOST), isReplyTo(GATEWAY));
        assert.deepEqual([answer.ip, answer.mac, answer.destination], [HOST, HOST_MAC, OWN], state);
        await pair.becomes(GATEWAY, OWN);
      }
    },
  ],
  [
    'a question to everybody reaches the owner of the address, and nobody answers for another one',
    async () => {
      const answer = await pair.ask(ndDriver.probe(OWN, MAC_BROADCAST, GATEWAY, HOST), isReplyTo(GATEWAY));
      assert.equal(answer.ip, HOST);
      const from = pair.capture.frames().length;
      pair.frames.send(ndDriver.probe(OWN, MAC_BROADCAST, GATEWAY, NEIGHBOUR));
      // The question after it is answered, so this one has been heard.
      await pair.ask(ndDriver.probe(OWN, HOST_MAC, GATEWAY, HOST), isReplyTo(GATEWAY));
      assert.deepEqual(
        pair.said(from).filter(({ ip: of }) => of === NEIGHBOUR),
        [],
      );
    },
  ],
  [
    'a repair changes what the host believes of its neighbour',
    async () => {
      pair.believe(NEIGHBOUR, 'reachable');
      pair.frames.send(ndDriver.repair(OWN, HOST_MAC, HOST, NEIGHBOUR, OWN));
      await pair.becomes(NEIGHBOUR, OWN);
      pair.frames.send(ndDriver.repair(OWN, HOST_MAC, HOST, NEIGHBOUR, OTHER_MAC));
      await pair.becomes(NEIGHBOUR, OTHER_MAC);
    },
  ],
  [
    'an announcement changes it, too, and what is said in an answer without O does not',
    async () => {
      pair.believe(NEIGHBOUR, 'reachable');
      pair.frames.send(ndDriver.announce(OWN, NEIGHBOUR, OWN_LINK_LOCAL));
      await pair.becomes(NEIGHBOUR, OWN);
      pair.believe(NEIGHBOUR, 'reachable');
      pair.frames.send(ndDriver.answer(OWN, NEIGHBOUR, HOST_MAC, HOST, PROXY_MANNER));
      await waitFor(() => pair.entry(NEIGHBOUR)?.state?.includes('STALE'), 5000, 'doubt');
      assert.equal(pair.entry(NEIGHBOUR)?.lladdr, formatMac(OTHER_MAC));
    },
  ],
  [
    'who asks for a gateway or a neighbour is answered, and knows which of them is a router',
    async () => {
      for (const [address, manner] of [
        [GATEWAY, GATEWAY_MANNER],
        [NEIGHBOUR, PROXY_MANNER],
      ] as const) {
        pair.host.ipQuietly(`neigh del ${formatIp(address)} dev eth0`);
        const from = pair.capture.frames().length;
        const argv = ['ping', '-6', '-c1', '-W3', '-I', 'eth0', formatIp(address)];
        const ping = new Program(pair.host, argv, { quiet: true });
        const asked = await pair.hears(({ target }) => target === address, from);
        assert.ok(asked.ip !== undefined);
        pair.frames.send(ndDriver.answer(OWN, address, HOST_MAC, asked.ip, manner));
        const entry = await pair.becomes(address, OWN);
        assert.equal('router' in entry, address === GATEWAY);
        assert.ok(entry.state?.includes('REACHABLE'));
        await ping.stop();
      }
    },
  ],
  [
    'an MLD query to one MAC is answered with the groups of all its addresses (RFC 3810 section 6.2)',
    async () => {
      pair.host.ip(
        'addr add 2001:db8:1::7/64 dev eth0 nodad',
        'addr add 2001:db8:2::a:b:c/64 dev eth0 nodad',
      );
      const wanted = [HOST, HOST_LINK_LOCAL, ip('2001:db8:1::7'), ip('2001:db8:2::a:b:c')].map(low24);
      const isWhole = (message: NeighbourMessage) =>
        message.kind === 'presence' && wanted.every((low) => message.groups?.includes(low));
      // The reports of the new addresses are over when nothing has been heard for longer than their interval.
      await waitFor(
        () => (pair.capture.frames().at(-1)?.at ?? 0) < Date.now() - 1100,
        20_000,
        'the end of its own reports',
      );
      const answer = await pair.ask(ndDriver.inquire?.(OWN, HOST_MAC, OWN_LINK_LOCAL) as Uint8Array, isWhole);
      assert.equal(answer.ip, HOST_LINK_LOCAL);
    },
  ],
  [
    'Wireshark finds nothing wrong with any frame of ours: no checksum, no length, no option',
    async () => {
      const home = { ip: ip('2001:db8:1::1'), length: 64 };
      const foreign = { ip: ip('2001:db8:2::1'), length: 64 };
      const advertisement = ndDriver.advertisePrefix?.(OWN, GATEWAY, HOST_MAC, HOST, home, [foreign]);
      pair.frames.send(advertisement as Uint8Array);
      pair.frames.send(ndDriver.declareMulticastRouter?.(OWN, OWN_LINK_LOCAL, 20) as Uint8Array);
      pair.frames.send(ndDriver.announce(OWN, HOST, undefined));
      await waitFor(
        () => tshark(pair.capture.path, `icmpv6.type == 151 && eth.src == ${formatMac(OWN)}`).length === 1,
        5000,
        'the last frames',
      );
      const ours = `eth.src == ${formatMac(OWN)}`;
      const types = new Set(tshark(pair.capture.path, ours, 'icmpv6.type'));
      assert.deepEqual([...types].sort(), ['130', '134', '135', '136', '151']);
      const wrong = 'icmpv6.checksum.status != "Good" || _ws.malformed || _ws.expert.severity >= "Warning"';
      assert.deepEqual(tshark(pair.capture.path, `${ours} && (${wrong})`, '_ws.expert.message'), []);
    },
  ],
]);

/** The fields of the frames that agree with a display filter, one line each. */
function tshark(path: string, filter: string, field = 'frame.number'): string[] {
  return run(['tshark', '-r', path, '-Y', filter, '-T', 'fields', '-e', field]).split('\n').filter(Boolean);
}
