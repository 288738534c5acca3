import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import type { Action, Event, Link } from '../../../src/mobility/events.js';
import { ndDriver as driver } from '../../../src/mobility/nd/driver.js';
import type { Policy } from '../../../src/mobility/policy.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import {
  type Family,
  type Ip,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  type Prefix,
} from '../../../src/wire/addresses.js';
import {
  IPV6_UNSPECIFIED,
  groupMac,
  parseIp,
  parseMac,
  parsePrefix,
  solicitedNodeGroup,
} from '../../../src/wire/addresses.js';
import { ICMPV6 } from '../../../src/wire/icmpv6.js';
import { writeIpv6Headers } from '../../../src/wire/ipv6.js';
import { ALL_MLDV2_ROUTERS, encodeMldReport } from '../../../src/wire/mld.js';
import {
  type NeighbourAdvertisement,
  type NeighbourSolicitation,
  decodeNd,
  encodeSolicitation,
} from '../../../src/wire/nd.js';

/** Neighbor Discovery on a site without link-local gateways: the core is the same for it as for ARP. */
const { neighbourSolicitation: SOLICITATION, neighbourAdvertisement: ADVERTISEMENT } = ICMPV6;

/** A solicitation or advertisement of ours. */
function fieldsOf(bytes: Uint8Array): NeighbourSolicitation | NeighbourAdvertisement {
  const frame = decodeNd(bytes);
  assert.ok(typeof frame !== 'string', `not decoded: ${String(frame)}`);
  assert.ok(frame.type === SOLICITATION || frame.type === ADVERTISEMENT);
  return frame;
}

const ip = (text: string): Ipv6 => parseIp(text) as Ipv6;
const mac = (text: string): Mac => parseMac(text) as Mac;
const GUEST = ip('2001:db8:1::5');
const GUEST_MAC = mac('02:00:00:00:00:05');
const NEIGHBOUR = ip('2001:db8:1::9');
const NEIGHBOUR_MAC = mac('02:00:00:00:00:09');
const GATEWAY = ip('2001:db8:1::1');
const [HOME, FOREIGN] = [10, 11];
const OWN = { [HOME]: mac('02:00:00:00:01:10'), [FOREIGN]: mac('02:00:00:00:01:11') } as Record<number, Mac>;

function lan(index: number, name: string, address: string): Link {
  return {
    index,
    name,
    mac: OWN[index] as Mac,
    up: true,
    carrier: true,
    master: undefined,
    type: 'bridge',
    addresses: [parsePrefix(address) as Prefix],
    rpFilter: 0,
  };
}

const prefix = parsePrefix('2001:db8:1::/64') as Prefix;
const configured = parseConfig('[[interface]]\nname = "lan*"\n').policy;
const policy: Policy = { ...configured, subnets: [{ prefix, gateways: [GATEWAY] }] };

type Sent = ReturnType<typeof fieldsOf> & { readonly purpose: string; readonly iface: number };

const PLAIN = { linkLocal: undefined, isRouter: false, isOverride: false };

describe('a second address family is a driver and nothing else', () => {
  let tracker: HostTracker;
  let now: number;

  /** Hands in an event and keeps everything that follows from it. */
  function handle(event: Event): readonly Action[] {
    return tracker.handle(event, now);
  }

  function start(families: readonly Family[]): void {
    tracker = new HostTracker({ ...policy, families });
    now = 1000;
    handle({ kind: 'link', link: lan(HOME, 'lan0', '2001:db8:1::1/64') });
    handle({ kind: 'link', link: lan(FOREIGN, 'lan1', '2001:db8:2::1/64') });
    handle({ kind: 'capture', iface: HOME, open: true });
    handle({ kind: 'capture', iface: FOREIGN, open: true });
  }

  beforeEach(() => start(['ipv4', 'ipv6']));

  const frame = (iface: number, bytes: Uint8Array) => handle({ kind: 'frame', iface, bytes });

  /** What of our own was sent, decoded. */
  function sent(actions: readonly Action[]): Sent[] {
    return actions.flatMap((action) =>
      action.kind === 'send'
        ? [{ ...fieldsOf(action.bytes), purpose: action.purpose, iface: action.iface }]
        : [],
    );
  }

  /** Lets time pass until `until` is true of the actions of a tick. */
  function wait(until: (actions: readonly Action[]) => boolean): readonly Action[] {
    for (let ticks = 0; ticks < 100; ticks++) {
      const next = tracker.nextDeadline();
      assert.ok(next !== undefined, 'nothing is waited for');
      now = Math.max(now, next);
      const actions = handle({ kind: 'tick' });
      if (until(actions)) return actions;
    }
    return assert.fail('it does not come');
  }

  const announcement = () => driver.announce(GUEST_MAC, GUEST, undefined);
  /** The guest answers a question that came in the name of `asker`. */
  const reply = (iface: number, asker: Ip) =>
    frame(iface, driver.answer(GUEST_MAC, GUEST, OWN[iface] as Mac, asker, PLAIN));
  const claims = (actions: readonly Action[]) => actions.filter(({ kind }) => kind === 'claim');

  /** A visitor on lan1 that has proven itself. */
  function learnVisitor(): void {
    const asked = sent(frame(FOREIGN, announcement())).find(({ iface }) => iface === FOREIGN);
    assert.ok(asked !== undefined);
    assert.equal(claims(reply(FOREIGN, asked.sourceIp)).length, 1);
  }

  it('a sighting is asked about in the name of the gateway, and the answer makes a claim', () => {
    const [asked] = sent(frame(FOREIGN, announcement()));
    assert.ok(asked !== undefined);
    assert.deepEqual(
      [asked.purpose, asked.type, asked.sourceIp, asked.linkLayerAddress, asked.targetIp, asked.destination],
      ['probe', SOLICITATION, GATEWAY, OWN[FOREIGN], GUEST, GUEST_MAC],
    );
    now += 3;
    const [claim] = claims(reply(FOREIGN, asked.sourceIp));
    assert.deepEqual(claim, {
      kind: 'claim',
      ip: GUEST,
      iface: FOREIGN,
      dev: 'lan1',
      mac: GUEST_MAC,
      age: 'fresh',
    });
  });

  it('an answer in another name is none', () => {
    frame(FOREIGN, announcement());
    assert.deepEqual(claims(reply(FOREIGN, NEIGHBOUR)), []);
  });

  it('a quiet host is asked by keepalive, kept as long as it answers and withdrawn when it does not', () => {
    learnVisitor();
    const isProbe = (actions: readonly Action[]) => sent(actions).some(({ purpose }) => purpose === 'probe');
    const [asked] = sent(wait(isProbe));
    assert.ok(asked !== undefined);
    assert.equal(asked.targetIp, GUEST);
    reply(FOREIGN, asked.sourceIp);
    assert.equal(tracker.host(GUEST)?.claimed, true);
    const lost = wait((actions) => actions.some(({ kind }) => kind === 'release'));
    assert.ok(lost.some((action) => action.kind === 'transition' && action.cause === 'keepalive-lost'));
  });

  it('its home LAN is told where it is, and its neighbours there are answered', () => {
    learnVisitor();
    const isAnnounced = (actions: readonly Action[]) =>
      sent(actions).some(({ purpose }) => purpose === 'announce');
    const [announced] = sent(wait(isAnnounced)).filter(({ purpose }) => purpose === 'announce');
    assert.deepEqual([announced?.iface, announced?.targetIp, announced?.source], [HOME, GUEST, OWN[HOME]]);
    const asks = driver.probe(NEIGHBOUR_MAC, MAC_BROADCAST, NEIGHBOUR, GUEST);
    const answer = sent(frame(HOME, asks)).find(({ purpose }) => purpose === 'answer');
    assert.deepEqual(
      [answer?.type, answer?.targetIp, answer?.destinationIp, answer?.destination],
      [ADVERTISEMENT, GUEST, NEIGHBOUR, NEIGHBOUR_MAC],
    );
  });

  it('a packet to a neighbour of the old LAN has the neighbour repaired', () => {
    learnVisitor();
    const bytes = new Uint8Array(54);
    const frame = { source: GUEST_MAC, destination: NEIGHBOUR_MAC };
    writeIpv6Headers(bytes, { ...frame, sourceIp: GUEST, destinationIp: GATEWAY }, 59, 64);
    const [repair] = sent(handle({ kind: 'misdirected-packet', iface: FOREIGN, bytes }));
    assert.deepEqual(
      [repair?.purpose, repair?.sourceIp, repair?.linkLayerAddress, repair?.targetIp],
      ['repair', GATEWAY, OWN[FOREIGN], GUEST],
    );
  });

  it('duplicate address detection is neither learned nor answered, and its place is asked', () => {
    const group = solicitedNodeGroup(GUEST);
    const bytes = encodeSolicitation({
      source: GUEST_MAC,
      destination: groupMac(group),
      sourceIp: IPV6_UNSPECIFIED,
      destinationIp: group,
      targetIp: GUEST,
      linkLayerAddress: undefined,
    });
    const [asked] = sent(frame(FOREIGN, bytes));
    assert.deepEqual([asked?.purpose, asked?.targetIp, asked?.destination], ['probe', GUEST, GUEST_MAC]);
    assert.equal(tracker.host(GUEST)?.held, false);
  });

  it('a MAC that names its groups is asked for what other routers claim in them, and for the control address', () => {
    const claim = { prefix: { ip: GUEST, length: 128 }, table: 254, protocol: 186, metric: 20 } as const;
    const via = { type: 'unicast', iface: 2, via: ip('2001:db8:9::2') } as const;
    handle({ kind: 'route', change: 'add', route: { ...claim, ...via }, initial: false });
    wait(() => tracker.host(GUEST)?.state === 'away');
    const presence = encodeMldReport({
      source: GUEST_MAC,
      destination: groupMac(ALL_MLDV2_ROUTERS),
      sourceIp: IPV6_UNSPECIFIED,
      destinationIp: ALL_MLDV2_ROUTERS,
      groups: [solicitedNodeGroup(GUEST)],
    });
    const asked = sent(frame(FOREIGN, presence)).map(({ targetIp }) => targetIp);
    assert.deepEqual(asked, [driver.controlAddress, GUEST]);
  });

  it('without its driver a family cannot be asked, which is not the same as silence', () => {
    start(['ipv4']);
    const [drop] = frame(FOREIGN, announcement());
    assert.ok(drop?.kind === 'drop' && drop.reason === 'not-arp');
    const route = {
      prefix: { ip: GUEST, length: 128 },
      table: 254,
      protocol: 186,
      metric: 20,
      type: 'unicast',
      iface: 2,
      via: ip('2001:db8:9::2'),
    } as const;
    handle({ kind: 'route', change: 'add', route, initial: false });
    assert.equal(tracker.host(GUEST)?.state, 'away', 'at once: there is nobody to wait for');
    handle({
      kind: 'command',
      token: 1,
      command: { name: 'probe', ip: GUEST },
    });
    assert.deepEqual(sent(handle({ kind: 'tick' })), []);
  });
});
