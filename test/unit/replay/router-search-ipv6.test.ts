import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configForInterfaces } from '../../../src/config/config.js';
import type { Link } from '../../../src/mobility/events.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import { ForeignReplay } from '../../../src/replay/foreign/foreign-replay.js';
import { describeFrame, isNeighbourFrame } from '../../../src/replay/frame-text.js';
import { RouterSearch } from '../../../src/replay/foreign/router-search.js';
import {
  type Ip,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  formatIp,
  formatMac,
  formatPrefix,
  groupMac,
  parseIp,
  parseMac,
  solicitedNodeGroup,
  writeMac,
} from '../../../src/wire/addresses.js';
import { LINK_TYPE_ETHERNET } from '../../../src/wire/pcap/capture-file.js';
import { writeChecksum } from '../../../src/wire/icmpv6.js';
import { ALL_MLDV2_ROUTERS, ALL_NODES, encodeMldReport } from '../../../src/wire/mld.js';
import { writeIpv6Headers } from '../../../src/wire/ipv6.js';
import { encodeSolicitation } from '../../../src/wire/nd.js';
import { onLinkPrefixes } from '../../../src/wire/router-advertisement.js';
import { parseLink } from '../../../src/replay/foreign/assumptions.js';

/** Captures of IPv6, in which the router is known by what it says of itself, and by the name in which it asks. */

const ip = (text: string) => parseIp(text) as Ipv6;
const mac = (text: string) => parseMac(text) as Mac;
const ROUTER = [mac('02:aa:00:00:00:00'), mac('02:aa:00:00:00:01')] as const;
const HOST = mac('02:00:00:00:0a:05');
const [host, hostLink, gateway] = [ip('2001:db8:1::5'), ip('fe80::5'), ip('fe80::1')];
const plain = { linkLocal: undefined, isOverride: false };

/** The host asks all of the LAN for its gateway, and is answered: R = 1. */
const asksGateway = encodeSolicitation({
  source: HOST,
  destination: groupMac(solicitedNodeGroup(gateway)),
  sourceIp: host,
  destinationIp: solicitedNodeGroup(gateway),
  targetIp: gateway,
  linkLayerAddress: HOST,
});
const answered = (own: Mac) => ndDriver.answer(own, gateway, HOST, host, { ...plain, isRouter: true });
const probed = (own: Mac) => ndDriver.probe(own, HOST, gateway, host);
const proven = (asker: Mac) => ndDriver.answer(HOST, host, asker, gateway, { ...plain, isRouter: false });

/** A router advertisement (RFC 4861 section 4.2) with one prefix of 64 bits (section 4.6.2). */
function advertisement(prefix: Ip, flags = 0xc0): Uint8Array {
  const bytes = new Uint8Array(54 + 16 + 32);
  writeIpv6Headers(
    bytes,
    { source: ROUTER[0], destination: groupMac(ALL_NODES), sourceIp: gateway, destinationIp: ALL_NODES },
    58,
    255,
  );
  bytes[54] = 134;
  bytes.set([3, 4, 64, flags], 70);
  for (let i = 0; i < 16; i++) bytes[86 + i] = String(prefix).charCodeAt(i);
  writeChecksum(bytes, 54);
  return bytes;
}

const textOf = ({ name, mac, addresses }: Link) =>
  [name, formatMac(mac), ...addresses.map(formatPrefix)].join(',');

function found(...frames: readonly (readonly [lan: string, bytes: Uint8Array])[]): string[] {
  const search = new RouterSearch([], false);
  for (const [lan, bytes] of frames) search.note(lan, bytes);
  return search.result(() => 0).links.map(textOf);
}

describe('the router of a capture of IPv6', () => {
  it('is who advertises itself, and its prefix is the home subnet there (RFC 4861 section 4.2)', () => {
    assert.deepEqual(found(['lan0', advertisement(ip('2001:db8:1::'))]), [
      'lan0,02:aa:00:00:00:00,2001:db8:1::/64',
    ]);
    const offLink = advertisement(ip('2001:db8:1::'), 0x40);
    assert.deepEqual(onLinkPrefixes(offLink), [], 'a prefix that is not on the link');
    const toVisitor = advertisement(ip('2001:db8:2::'));
    writeMac(toVisitor, 0, HOST);
    assert.deepEqual(
      found(['lan0', advertisement(ip('2001:db8:1::'))], ['lan0', toVisitor]),
      ['lan0,02:aa:00:00:00:00,2001:db8:1::/64'],
      'the home prefix of a visitor, which it alone is told',
    );
  });

  it('is who answers for the gateway with R = 1, on each LAN with the MAC that it has there', () => {
    const frames = ROUTER.flatMap((own, n) => {
      const lan = `lan${n}`;
      return [[lan, asksGateway] as const, [lan, answered(own)] as const, [lan, proven(own)] as const];
    });
    assert.deepEqual(found(...frames), [
      'lan0,02:aa:00:00:00:00,fe80::1/64',
      'lan1,02:aa:00:00:00:01,fe80::1/64',
    ]);
  });

  it('is who asks hosts in the name of the shared gateway, where nobody asks for it', () => {
    const frames = ROUTER.flatMap((own, n) => [
      [`lan${n}`, probed(own)] as const,
      [`lan${n}`, proven(own)] as const,
    ]);
    assert.deepEqual(found(...frames), [
      'lan0,02:aa:00:00:00:00,fe80::1/64',
      'lan1,02:aa:00:00:00:01,fe80::1/64',
    ]);
  });

  it('is not a host that verifies its gateway', () => {
    const verifies = ndDriver.probe(HOST, ROUTER[0], hostLink, gateway);
    const frames = [verifies, answered(ROUTER[0]), probed(ROUTER[0]), proven(ROUTER[0])];
    assert.deepEqual(found(...frames.map((bytes) => ['lan0', bytes] as const)), [
      'lan0,02:aa:00:00:00:00,fe80::1/64',
    ]);
  });
});

describe('a replay of a capture of IPv6', () => {
  const policy = { ...configForInterfaces(['lan0']).policy, families: ['ipv6'] } as const;
  const link = parseLink(1, 'lan0,02:aa:00:00:00:00,2001:db8:1::1/64,fe80::1/64') as Link;
  const packetOf = (bytes: Uint8Array, ms: number) => ({
    kind: 'packet' as const,
    timeNs: BigInt(ms) * 1_000_000n,
    bytes,
    length: bytes.length,
    direction: undefined,
    comments: [],
    packetId: undefined,
    interface: { linkType: LINK_TYPE_ETHERNET, name: 'lan0', description: undefined, id: 0 },
  });

  it('learns the host of an advertisement whose probe is answered, if it is assumed to be there', () => {
    const replay = new ForeignReplay({ policy, links: [link], assumeAlive: true });
    const announced = ndDriver.announce(HOST, host, undefined);
    const chapters = [...replay.packet(packetOf(announced, 5000), 'lan0')];
    chapters.push(...replay.packet(packetOf(announced, 6000), 'lan0'));
    const probes = chapters.flatMap(({ actions }) =>
      actions.flatMap((action) => (action.kind === 'send' && action.purpose === 'probe' ? [action] : [])),
    );
    assert.ok(probes.length > 0);
    assert.ok(chapters.some(({ note }) => note === 'assumed answer'));
    const { to } = chapters
      .flatMap(({ actions }) => actions.flatMap((action) => (action.kind === 'transition' ? [action] : [])))
      .filter((action) => action.ip === host)
      .at(-1) ?? { to: undefined };
    assert.equal(to, 'home');
  });

  it('leaves IPv6 alone where it is not served', () => {
    const replay = new ForeignReplay({ policy: { ...policy, families: ['ipv4'] }, links: [link] });
    const [chapter] = [...replay.packet(packetOf(ndDriver.announce(HOST, host, undefined), 5000), 'lan0')];
    assert.deepEqual(chapter?.actions, []);
  });
});

describe('frames of IPv6 in words', () => {
  const words = (bytes: Uint8Array) => describeFrame(bytes, bytes.length);
  const report = encodeMldReport({
    source: HOST,
    destination: groupMac(ALL_MLDV2_ROUTERS),
    sourceIp: hostLink,
    destinationIp: ALL_MLDV2_ROUTERS,
    groups: [solicitedNodeGroup(host)],
  });

  it('read as those of tcpdump', () => {
    assert.equal(
      words(asksGateway),
      'IP6 2001:db8:1::5 > ff02::1:ff00:1: ICMP6, neighbor solicitation, who has fe80::1, length 32',
    );
    assert.match(
      words(answered(ROUTER[0])),
      /^IP6 fe80::1 > 2001:db8:1::5: ICMP6, neighbor advertisement, tgt is fe80::1, Flags \[router, solicited\]/,
    );
    assert.match(
      words(report),
      /^IP6 fe80::5 > ff02::16: HBH ICMP6, multicast listener report v2 ff02::1:ff00:5,/,
    );
    assert.match(words(advertisement(host)), /ICMP6, router advertisement/);
    const broken = asksGateway.slice();
    broken[56] = (broken[56] as number) ^ 1;
    assert.match(words(broken), /malformed \(bad-checksum\)/);
  });

  it('are told from other IPv6', () => {
    for (const bytes of [asksGateway, report, advertisement(host)]) assert.ok(isNeighbourFrame(bytes));
    const echo = asksGateway.slice();
    echo[54] = 128;
    assert.equal(isNeighbourFrame(echo), false);
    writeMac(echo, 0, MAC_BROADCAST);
    assert.match(words(echo), new RegExp(`^IP6 ${formatIp(host)} > `));
  });
});
