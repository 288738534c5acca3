import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import type { Action, Link } from '../../../src/mobility/events.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { MAC_BROADCAST, type Mac, isUnspecified } from '../../../src/wire/addresses.js';
import { ARP_REQUEST, type ArpFrame, decodeArp } from '../../../src/wire/arp.js';
import { HOST_MAC, LAN0, ip, link, macOf, reply, request } from './small-router.js';

/** Several first-hop routers on one LAN (design.md 3.5), as one of them decides. */

const VRRP = 20;
const WAN = 2;
const VIRTUAL_MAC = 0x00005e000133 as Mac;
const PEER_MAC = 0x02000000aa03 as Mac;
const VISITOR = '10.9.9.5';
const OWN = '10.1.1.2';
const PEER = '10.1.1.3';
const SUBNETS = ['10.1.1', '10.9.9']
  .map((net) => `[[subnet]]\nprefix = "${net}.0/24"\ngateway = "${net}.1"\n`)
  .join('');

const lan = (change: Partial<Link> = {}) => link(LAN0, 'lan0', [`${OWN}/24`], change);
const macvlan = (change: Partial<Link> = {}, addresses = ['10.1.1.1/32']) =>
  link(VRRP, 'vrrp4-1', addresses, { mac: VIRTUAL_MAC, type: 'macvlan', lower: LAN0, ...change });

function makeRouter(keys: string, links: readonly Link[] = [lan()]): HostTracker {
  const { policy } = parseConfig(`[[interface]]\nname = "lan*"\n${keys}\n${SUBNETS}`);
  const tracker = new HostTracker(policy);
  for (const one of [link(WAN, 'wan', ['192.0.2.1/24']), ...links])
    tracker.handle({ kind: 'link', link: one }, 0);
  tracker.handle({ kind: 'capture', iface: LAN0, open: true }, 0);
  tracker.handle({ kind: 'route', change: 'add', route: route('0.0.0.0', 0, 3), initial: true }, 0);
  return tracker;
}

function route(to: string, length: number, protocol: number) {
  const prefix = { ip: ip(to), length };
  return {
    prefix,
    table: 254,
    protocol,
    metric: 20,
    type: 'unicast',
    iface: WAN,
    via: ip('192.0.2.2'),
  } as const;
}

const claimed = (tracker: HostTracker, change: 'add' | 'delete', now: number) =>
  tracker.handle({ kind: 'route', change, route: route(VISITOR, 32, 188), initial: false }, now);

function until(tracker: HostTracker, now: number): Action[] {
  const actions: Action[] = [];
  for (;;) {
    const at = tracker.nextDeadline();
    if (at === undefined || at > now) return actions;
    actions.push(...tracker.handle({ kind: 'tick' }, Math.max(at, 0)));
  }
}

const sent = (actions: readonly Action[]): (ArpFrame & { readonly purpose: string })[] =>
  actions.flatMap((action) => {
    const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
    return typeof frame === 'string' || action.kind !== 'send' ? [] : [{ ...frame, purpose: action.purpose }];
  });
const stateOn = (tracker: HostTracker) => tracker.roleOn(LAN0)?.state;
const kinds = (actions: readonly Action[]) => actions.map(({ kind }) => kind);

/** The visitor asks for its gateway and answers the standby, and the active router claims it. */
function standsBy(tracker: HostTracker): void {
  const asked = sent(request(tracker, LAN0, VISITOR, '10.9.9.1'));
  assert.deepEqual(
    asked.map(({ senderIp, senderMac }) => [senderIp, senderMac]),
    [[ip(OWN), macOf(LAN0)]],
    'as itself',
  );
  reply(tracker, LAN0, VISITOR, OWN, 1001);
  assert.equal(tracker.host(ip(VISITOR))?.state, 'beneath');
  assert.deepEqual(
    kinds(claimed(tracker, 'add', 1010)).filter((kind) => kind === 'claim'),
    ['claim'],
  );
}

describe('role = "gateway"', () => {
  it('is active while the gateway address is on an operational interface of the LAN', () => {
    const tracker = makeRouter('role = "gateway"');
    assert.equal(stateOn(tracker), 'standby');
    for (const [change, state] of [
      [{}, 'active'],
      [{ carrier: false }, 'standby'],
      [{ carrier: true }, 'active'],
      [{ up: false }, 'standby'],
      [{ up: true }, 'active'],
    ] as const) {
      tracker.handle({ kind: 'link', link: macvlan(change) }, 10);
      assert.equal(stateOn(tracker), state, JSON.stringify(change));
    }
    tracker.handle({ kind: 'link', link: lan({ carrier: false }) }, 20);
    assert.equal(stateOn(tracker), 'standby', 'a macvlan may stay up over a dead interface');
    tracker.handle({ kind: 'link', link: lan() }, 30);
    tracker.handle({ kind: 'link', link: macvlan({}, []) }, 40);
    assert.equal(stateOn(tracker), 'standby', 'keepalived takes the address');
    tracker.handle(
      { kind: 'link', link: lan({ addresses: lan().addresses.concat(macvlan().addresses) }) },
      50,
    );
    assert.equal(stateOn(tracker), 'active', 'without a virtual MAC');
    const view = tracker.roleOn(LAN0);
    assert.deepEqual([view?.since, view?.reason, view?.contests], [50, 'gateway-here', true]);
    assert.match(view?.why ?? '', /10\.1\.1\.1 is on lan0/);
    tracker.handle({ kind: 'link', link: lan() }, 60);
    tracker.handle({ kind: 'link-gone', iface: VRRP }, 70);
    assert.equal(stateOn(tracker), 'standby');
  });

  it('a standby asks in its own name, with its own MAC, and answers nobody', () => {
    const tracker = makeRouter('role = "gateway"', [lan(), macvlan({ carrier: false })]);
    standsBy(tracker);
    const later = [
      ...request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, 1100),
      ...request(tracker, LAN0, '10.1.1.9', '10.9.9.5', 0x020000000009 as Mac, 1200),
      ...until(tracker, 30_000),
    ];
    for (const { senderIp, senderMac, purpose } of sent(later)) {
      assert.equal(purpose, 'probe');
      assert.equal(senderMac, macOf(LAN0));
      assert.ok(senderIp === ip(OWN) || isUnspecified(senderIp));
    }
  });

  it('promotion: claims fresh at once, asks from the virtual MAC, answers what was asked a moment ago', () => {
    const tracker = makeRouter('role = "gateway"');
    standsBy(tracker);
    request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, 1900);
    const actions = [...tracker.handle({ kind: 'link', link: macvlan() }, 2000), ...until(tracker, 2001)];
    assert.ok(actions.some((action) => action.kind === 'claim' && action.age === 'fresh'));
    assert.ok(actions.some((action) => action.kind === 'transition' && action.cause === 'took-over'));
    const frames = sent(actions);
    assert.ok(frames.every(({ senderMac, source }) => senderMac === VIRTUAL_MAC && source === VIRTUAL_MAC));
    assert.deepEqual(frames.map(({ purpose, senderIp }) => [purpose, senderIp]).sort(), [
      ['answer', ip('10.9.9.1')],
      ['probe', ip('10.9.9.1')],
    ]);
    const silent = until(tracker, 2095);
    assert.ok(!kinds(silent).includes('release'), 'not within 100 ms');
    assert.ok(kinds(until(tracker, 2200)).includes('release'), 'unanswered, it is withdrawn');
  });

  it('the claim of the other router is gone: ours surfaces and is asked', () => {
    const tracker = makeRouter('role = "gateway"');
    standsBy(tracker);
    const actions = claimed(tracker, 'delete', 5000);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'settled');
    assert.deepEqual(
      sent(actions).map(({ targetIp }) => targetIp),
      [ip(VISITOR)],
    );
    reply(tracker, LAN0, VISITOR, OWN, 5001);
    claimed(tracker, 'add', 6000);
    reply(tracker, LAN0, VISITOR, OWN, 6001);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'beneath', 'no contest');
    assert.equal(tracker.host(ip(VISITOR))?.contest.kind, 'none');
  });

  it('promotion: what surfaced a moment before is withdrawn, and claimed fresh 25 ms later', () => {
    for (const [surfacedAt, again] of [
      [7900, true],
      [5000, false],
    ] as const) {
      const tracker = makeRouter('role = "gateway"');
      standsBy(tracker);
      claimed(tracker, 'delete', surfacedAt);
      reply(tracker, LAN0, VISITOR, OWN, surfacedAt + 1);
      until(tracker, 7999);
      const at = tracker.handle({ kind: 'link', link: macvlan() }, 8000);
      assert.equal(kinds(at).includes('release'), again);
      assert.ok(!kinds(until(tracker, 8024)).includes('claim'), 'ospfd would notice nothing');
      const later = until(tracker, 8025);
      assert.equal(
        later.some((action) => action.kind === 'claim' && action.age === 'fresh'),
        again,
      );
      if (again) assert.deepEqual([...new Set(sent(later).map(({ senderMac }) => senderMac))], [VIRTUAL_MAC]);
    }
  });

  it('promotion: a frame of what is withdrawn does not bring its claim back sooner', () => {
    const tracker = makeRouter('role = "gateway"');
    standsBy(tracker);
    claimed(tracker, 'delete', 7900);
    reply(tracker, LAN0, VISITOR, OWN, 7901);
    until(tracker, 7999);
    assert.ok(kinds(tracker.handle({ kind: 'link', link: macvlan() }, 8000)).includes('release'));
    request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, 8003);
    reply(tracker, LAN0, VISITOR, '10.9.9.1', 8004);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'remembered', 'ospfd would notice nothing');
    assert.ok(until(tracker, 8025).some((action) => action.kind === 'claim' && action.age === 'fresh'));
    reply(tracker, LAN0, VISITOR, '10.9.9.1', 8026);
    until(tracker, 9990);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'fresh');
    until(tracker, 10_100);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'settled');
  });

  it('promotion: who is proven soon after it stays fresh while claims of a dead router may hide it', () => {
    for (const [heardAt, settledBy] of [
      [8100, 10_010],
      [10_500, 10_800],
    ] as const) {
      const tracker = makeRouter('role = "gateway"');
      tracker.handle({ kind: 'link', link: macvlan() }, 8000);
      until(tracker, heardAt);
      request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, heardAt);
      reply(tracker, LAN0, VISITOR, OWN, heardAt + 1);
      until(tracker, settledBy - 60);
      assert.equal(tracker.host(ip(VISITOR))?.state, 'fresh');
      until(tracker, settledBy);
      assert.equal(tracker.host(ip(VISITOR))?.state, 'settled');
    }
  });

  it('promotion: what is beneath is claimed fresh in the same event, before the other claim can go', () => {
    const tracker = makeRouter('role = "gateway"');
    standsBy(tracker);
    const actions = tracker.handle({ kind: 'link', link: macvlan() }, 8000);
    assert.ok(actions.some((action) => action.kind === 'claim' && action.age === 'fresh'));
    claimed(tracker, 'delete', 8046);
    assert.deepEqual(
      [tracker.host(ip(VISITOR))?.state, tracker.host(ip(VISITOR))?.cause],
      ['fresh', 'took-over'],
    );
  });

  it('what surfaces just after a promotion is withdrawn, and claimed fresh 25 ms later', () => {
    const visitors = Array.from({ length: 129 }, (_, i) => `10.9.9.${i + 5}`);
    const remote = (tracker: HostTracker, change: 'add' | 'delete', host: string, now: number) =>
      tracker.handle({ kind: 'route', change, route: route(host, 32, 188), initial: false }, now);
    const tracker = makeRouter('role = "gateway"');
    for (const [i, host] of visitors.entries()) {
      const [at, mac] = [1000 + 20 * i, (HOST_MAC + i) as Mac];
      request(tracker, LAN0, host, '10.9.9.1', mac, at);
      reply(tracker, LAN0, host, OWN, at + 1, mac);
      remote(tracker, 'add', host, at + 10);
    }
    assert.equal(tracker.counts.beneath, visitors.length);
    tracker.handle({ kind: 'link', link: macvlan() }, 5000);
    const [left] = visitors.filter((host) => tracker.host(ip(host))?.state === 'beneath');
    assert.ok(left !== undefined, 'more than are taken over at once');
    const at = remote(tracker, 'delete', left, 5046);
    assert.ok(kinds(at).includes('release'));
    const isAnew = (action: Action) =>
      action.kind === 'claim' && action.ip === ip(left) && action.age === 'fresh';
    assert.ok(!until(tracker, 5070).some(isAnew), 'ospfd would notice nothing');
    assert.ok(until(tracker, 5071).some(isAnew));
  });

  it('nobody else claims it: the standby does, after `settle`', () => {
    const tracker = makeRouter('role = "gateway"');
    request(tracker, LAN0, VISITOR, VISITOR);
    reply(tracker, LAN0, VISITOR, OWN, 1001);
    assert.ok(!kinds(until(tracker, 1990)).includes('claim'));
    assert.ok(until(tracker, 2100).some((action) => action.kind === 'claim' && action.age === 'fresh'));
    assert.equal(tracker.host(ip(VISITOR))?.cause, 'unannounced');
  });

  it('case 9: a visitor that is silent to strangers is asked by its gateway when that is us', () => {
    const tracker = makeRouter('role = "gateway"');
    request(tracker, LAN0, VISITOR, '10.9.9.1');
    until(tracker, 3000);
    assert.equal(tracker.host(ip(VISITOR)), undefined);
    const actions = [...tracker.handle({ kind: 'link', link: macvlan() }, 4000), ...until(tracker, 4001)];
    const [asked] = sent(actions).filter(({ targetIp }) => targetIp === ip(VISITOR));
    assert.deepEqual(
      [asked?.senderIp, asked?.senderMac, asked?.destination],
      [ip('10.9.9.1'), VIRTUAL_MAC, HOST_MAC],
    );
    const found = reply(tracker, LAN0, VISITOR, '10.9.9.1', 4002);
    assert.ok(found.some((action) => action.kind === 'claim' && action.age === 'fresh'));
  });

  it('asks at its promotion only as many of those as there is room for, and none that policy has denied since', () => {
    const tracker = makeRouter('role = "gateway"');
    for (const number of [5, 6, 7]) {
      request(tracker, LAN0, `10.9.9.${number}`, '10.9.9.1', (HOST_MAC + number) as Mac, 1000 + number);
      until(tracker, 1000 + number);
    }
    until(tracker, 3000);
    const limits = '[policy]\ndeny = ["10.9.9.6/32"]\n[policy.limits]\nmax_hosts = 1\n';
    const text = `[[interface]]\nname = "lan*"\nrole = "gateway"\n${SUBNETS}${limits}`;
    tracker.setPolicy(parseConfig(text).policy, 3500);
    const actions = [...tracker.handle({ kind: 'link', link: macvlan() }, 4000), ...until(tracker, 4001)];
    assert.deepEqual(
      sent(actions).flatMap(({ purpose, targetIp }) => (purpose === 'probe' ? [targetIp] : [])),
      [ip('10.9.9.7')],
    );
  });

  it('two-speakers: once for the LAN, and only while we are active', () => {
    const tracker = makeRouter('role = "gateway"', [lan(), macvlan()]);
    const alarms: Action[] = [];
    for (const [number, mac] of [PEER_MAC, (PEER_MAC + 1) as Mac].entries()) {
      const at = 1000 + 100 * number;
      alarms.push(...request(tracker, LAN0, '10.1.1.1', '10.1.1.9', mac, at));
      alarms.push(...reply(tracker, LAN0, '10.1.1.1', OWN, at + 1, mac));
    }
    assert.deepEqual(
      alarms.flatMap((action) => (action.kind === 'alarm' ? [action.alarm] : [])),
      ['two-speakers'],
    );
    assert.deepEqual([...tracker.otherRouters()], []);
  });
});

describe('role = "told"', () => {
  const tell = (tracker: HostTracker, state: 'active' | 'standby', name = 'lan0') =>
    tracker
      .handle({ kind: 'command', token: 1, command: { name: 'role', interface: name, state } }, 100)
      .flatMap((action) => (action.kind === 'reply' ? [action.ok ? 'ok' : action.message] : []));

  it('is standby until it is told, whatever addresses it has', () => {
    const tracker = makeRouter('role = "told"', [lan(), macvlan()]);
    assert.deepEqual([stateOn(tracker), tracker.roleOn(LAN0)?.reason], ['standby', 'not-told']);
    assert.deepEqual(tell(tracker, 'active'), ['ok']);
    assert.deepEqual([stateOn(tracker), tracker.roleOn(LAN0)?.reason], ['active', 'told']);
    tracker.handle({ kind: 'link-gone', iface: LAN0 }, 200);
    tracker.handle({ kind: 'link', link: lan() }, 300);
    assert.equal(stateOn(tracker), 'active', 'an interface that is made anew is told already');
    assert.deepEqual(tell(tracker, 'standby'), ['ok']);
    assert.equal(stateOn(tracker), 'standby');
  });

  it('is refused where it does not count', () => {
    assert.match(tell(makeRouter('role = "gateway"'), 'active')[0] ?? '', /^lan0 has role = "gateway"/);
    assert.match(tell(makeRouter('role = "told"'), 'active', 'wan')[0] ?? '', /no mobility interface/);
  });
});

describe('anycast', () => {
  it('both speak, and the second leaves hosts to the first', () => {
    for (const [role, state] of [
      ['first', 'fresh'],
      ['second', 'beneath'],
    ] as const) {
      const tracker = makeRouter(`role = "${role}"`, [lan(), macvlan()]);
      assert.equal(stateOn(tracker), 'active');
      assert.equal(tracker.roleOn(LAN0)?.contests, role === 'first');
      request(tracker, LAN0, VISITOR, VISITOR);
      reply(tracker, LAN0, VISITOR, '10.9.9.1', 1001);
      assert.equal(tracker.host(ip(VISITOR))?.state, state);
      const answers = sent([
        ...request(tracker, LAN0, VISITOR, '10.9.9.1', HOST_MAC, 1100),
        ...until(tracker, 1200),
      ]);
      assert.ok(answers.some(({ purpose, senderMac }) => purpose === 'answer' && senderMac === VIRTUAL_MAC));
    }
  });
});

describe('peers', () => {
  it('are no hosts, and what is at their MAC is asked twice', () => {
    const tracker = makeRouter(`role = "gateway"\npeers = ["${PEER}"]\nlearn = "all"`, [lan(), macvlan()]);
    const heard = request(tracker, LAN0, PEER, '10.1.1.9', PEER_MAC);
    assert.deepEqual(
      heard.flatMap((action) => (action.kind === 'drop' ? [action.reason] : [])),
      ['sender-ip-peer'],
    );
    request(tracker, LAN0, '10.1.1.7', '10.1.1.7', PEER_MAC, 2000);
    const twice = sent(reply(tracker, LAN0, '10.1.1.7', '10.1.1.1', 2001, PEER_MAC));
    assert.ok(twice.some(({ opcode, senderIp }) => opcode === ARP_REQUEST && isUnspecified(senderIp)));
    assert.equal(tracker.host(ip('10.1.1.7'))?.state, 'proving');
  });

  it('are no hosts when only the kernel names them', () => {
    const tracker = makeRouter(`role = "gateway"\npeers = ["${PEER}"]`, [lan(), macvlan()]);
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(PEER), mac: PEER_MAC }, 10);
    request(tracker, LAN0, VISITOR, VISITOR, PEER_MAC, 2000);
    reply(tracker, LAN0, VISITOR, '10.9.9.1', 2001, PEER_MAC);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'proving', 'asked once more, from nobody');
  });
});

describe('a reload', () => {
  const policyOf = (keys: string) =>
    parseConfig(`[[interface]]\nname = "lan*"\nrole = "gateway"\n${keys}\n${SUBNETS}`).policy;
  const isAskedTwice = (tracker: HostTracker, now: number) => {
    request(tracker, LAN0, VISITOR, VISITOR, PEER_MAC, now);
    reply(tracker, LAN0, VISITOR, '10.9.9.1', now + 1, PEER_MAC);
    return tracker.host(ip(VISITOR))?.state === 'proving';
  };

  it('that names a peer makes its MAC, which the kernel knows already, that of a router', () => {
    const tracker = makeRouter('role = "gateway"', [lan(), macvlan()]);
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(PEER), mac: PEER_MAC }, 10);
    tracker.setPolicy(policyOf(`peers = ["${PEER}"]`), 1000);
    assert.ok(isAskedTwice(tracker, 2000));
  });

  it('that names it no more makes it that of a host', () => {
    const tracker = makeRouter(`role = "gateway"\npeers = ["${PEER}"]`, [lan(), macvlan()]);
    tracker.handle({ kind: 'neighbour', iface: LAN0, ip: ip(PEER), mac: PEER_MAC }, 10);
    tracker.setPolicy(policyOf(''), 1000);
    assert.ok(!isAskedTwice(tracker, 2000));
  });
});

describe('a late standby', () => {
  it('asks all of a shared LAN once for a host that another router claims', () => {
    const tracker = makeRouter('role = "gateway"');
    claimed(tracker, 'add', 1000);
    const asked = sent(until(tracker, 5000)).filter(({ targetIp }) => targetIp === ip(VISITOR));
    assert.deepEqual(
      asked.map(({ destination, senderIp }) => [destination, senderIp]),
      [[MAC_BROADCAST, ip(OWN)]],
    );
    assert.deepEqual(
      sent(until(makeRouter('', [lan()]), 5000)).filter(({ targetIp }) => targetIp === ip(VISITOR)),
      [],
    );
  });
});

describe('a late standby, learn = "all"', () => {
  const AT_HOME = '10.1.1.7';
  const claim = (tracker: HostTracker) =>
    tracker.handle({ kind: 'route', change: 'add', route: route(AT_HOME, 32, 188), initial: false }, 1000);
  const isAnnounced = (tracker: HostTracker, now: number) =>
    sent(
      tracker.handle(
        { kind: 'link', link: lan({ addresses: [...lan().addresses, ...macvlan().addresses] }) },
        now,
      ),
    ).some(({ senderIp }) => senderIp === ip(AT_HOME));

  it('finds a host of the LAN that the router beside it claims, and does not take it for one that is away', () => {
    const tracker = makeRouter('role = "gateway"\nlearn = "all"');
    const actions = [...claim(tracker), ...until(tracker, 1300)];
    assert.deepEqual(
      sent(actions).map(({ destination, senderIp, targetIp }) => [destination, senderIp, targetIp]),
      [[MAC_BROADCAST, ip(OWN), ip(AT_HOME)]],
    );
    const again = sent(reply(tracker, LAN0, AT_HOME, OWN, 1301));
    assert.equal(again.length, 1);
    const nobody = sent(reply(tracker, LAN0, AT_HOME, OWN, 1302));
    assert.ok(nobody.length === 1 && nobody.every(({ senderIp }) => isUnspecified(senderIp)));
    reply(tracker, LAN0, AT_HOME, '0.0.0.0', 1303);
    assert.equal(tracker.host(ip(AT_HOME))?.state, 'beneath');
    assert.ok(!isAnnounced(tracker, 1400), 'it has its own MAC');
  });

  it('announces at a promotion who is away, but nobody that the LAN is still to be asked for', () => {
    for (const [at, announced] of [
      [1100, false],
      [3000, true],
    ] as const) {
      const tracker = makeRouter('role = "gateway"\nlearn = "all"');
      claim(tracker);
      until(tracker, at);
      assert.equal(isAnnounced(tracker, at), announced, `${at} ms`);
    }
  });
});

describe('role = "alone" (C5)', () => {
  it('looks for the gateway of its LAN, and leaves visitors to whoever has it', () => {
    const tracker = makeRouter('');
    reply(tracker, LAN0, '10.1.1.1', OWN, 10, PEER_MAC);
    assert.deepEqual([...tracker.otherRouters()], [], 'not asked yet');
    const actions = reply(tracker, LAN0, '10.1.1.1', OWN, 11, PEER_MAC);
    const alarm = actions.find((action) => action.kind === 'alarm');
    assert.equal(alarm?.kind === 'alarm' && alarm.alarm, 'other-router');
    assert.match(alarm?.kind === 'alarm' ? alarm.message : '', /set `role` on both/);
    assert.match(tracker.roleOn(LAN0)?.why ?? '', /visitors are left to it/);
    standsBy(tracker);
    const [question] = sent(request(tracker, LAN0, '10.1.1.9', '10.9.9.1', PEER_MAC, 1500)).filter(
      ({ purpose }) => purpose === 'answer',
    );
    assert.equal(question, undefined, 'nor does it answer who looks for other routers');
  });

  it('takes back what it left to the claim of another router, when the machine with a gateway is gone', () => {
    const tracker = makeRouter('', [link(LAN0, 'lan0', ['10.1.1.1/24'])]);
    request(tracker, LAN0, VISITOR, VISITOR);
    reply(tracker, LAN0, VISITOR, '10.9.9.1', 1001);
    until(tracker, 4000);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'settled');
    request(tracker, LAN0, '10.9.9.1', '10.1.1.9', PEER_MAC, 4000);
    reply(tracker, LAN0, '10.9.9.1', '10.1.1.1', 4001, PEER_MAC);
    assert.equal([...tracker.otherRouters()].length, 1);
    claimed(tracker, 'add', 5000);
    reply(tracker, LAN0, VISITOR, '10.1.1.1', 5001);
    assert.equal(tracker.host(ip(VISITOR))?.state, 'beneath');
    for (let at = 7000; at < 16_000; at += 2000) {
      until(tracker, at);
      request(tracker, LAN0, VISITOR, VISITOR, HOST_MAC, at);
    }
    assert.equal(tracker.host(ip(VISITOR))?.state, 'beneath', 'alive, and left to the other claim');
    const later = until(tracker, 16_100);
    assert.equal([...tracker.otherRouters()].length, 0);
    assert.ok(later.some((action) => action.kind === 'claim' && action.age === 'fresh'));
  });
});
