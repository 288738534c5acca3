import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex } from '../../src/mobility/events.js';
import { type Ipv4, type Mac, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';
import { ARP_REPLY, decodeArp, encodeArp } from '../../src/wire/arp.js';
import {
  Driver,
  GATEWAY,
  IPS,
  LAN0,
  LAN1,
  MACS,
  OUR_MAC,
  frameOf,
  link,
  testPolicy,
  questionOf,
} from './driver.js';
import { runStep } from './steps.js';

/** A machine that uses a gateway address of ours: a frame is a suspicion, an answer a fact, and it ends (design.md 3.2). */

const [HOME] = IPS as unknown as readonly [Ipv4];
const VISITOR = IPS[4] as Ipv4;
/** A visitor that may not be learned: what it asks is answered at once. */
const ASKER = parseIp('10.7.7.7') as Ipv4;
const [STRANGER, HOST] = MACS as unknown as readonly [Mac, Mac];

class Site extends Driver {
  constructor() {
    super(testPolicy());
    this.boot();
  }

  hear(
    kind: 'gratuitous' | 'gratuitous-reply' | 'request' | 'reply' | 'probe',
    mac: Mac,
    ip: Ipv4,
    iface = LAN1,
  ) {
    return this.handle({ kind: 'frame', iface, bytes: frameOf(kind, mac, ip) });
  }

  /** Whether a host there that asks for the gateway is answered. */
  isAnswered(iface: IfIndex, target = GATEWAY): boolean {
    const bytes = questionOf(HOST, ASKER, target);
    const actions = this.handle({ kind: 'frame', iface, bytes });
    return actions.some((action) => action.kind === 'send' && action.purpose === 'answer');
  }

  /** The stranger uses the gateway's address: it says so, and answers for it. */
  appear(mac = STRANGER, iface = LAN1): readonly Action[] {
    this.setAnswering(GATEWAY, mac, iface, true);
    return this.hear('gratuitous', mac, GATEWAY, iface);
  }

  get others(): number {
    return [...this.router.otherRouters()].length;
  }
}

const reasons = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'drop' ? [action.reason] : []));

describe('a suspicion', () => {
  for (const kind of ['gratuitous', 'gratuitous-reply', 'request', 'reply', 'probe'] as const)
    it(`${kind} in the gateway's name without an answer silences nobody and bars nobody`, () => {
      const site = new Site();
      const actions = site.hear(kind, STRANGER, GATEWAY);
      assert.deepEqual(reasons(actions), ['sender-ip-gateway']);
      for (let i = 0; i < 30; i++) {
        assert.ok(site.isAnswered(LAN1) && site.isAnswered(LAN0), `after ${i * 100} ms`);
        site.advance(100);
      }
      runStep(site, { do: 'plug', iface: LAN1, ip: VISITOR, mac: STRANGER });
      site.advance(100);
      assert.equal(site.router.host(VISITOR)?.state, 'fresh');
      assert.ok(!actions.some((action) => action.kind === 'alarm'));
      assert.equal(site.router.host(GATEWAY), undefined);
    });

  it('an RFC 5227 probe asks nobody, whoever answers', () => {
    const site = new Site();
    site.setAnswering(GATEWAY, STRANGER, LAN1, true);
    const actions = site.hear('probe', STRANGER, GATEWAY);
    assert.ok(!actions.some((action) => action.kind === 'send'));
    site.advance(5000);
    assert.equal(site.others, 0);
    assert.ok(site.isAnswered(LAN1));
  });

  it('is verified by unicast, from our own address there and from none (RFC 5227 section 2.1.1)', () => {
    const site = new Site();
    const sent: Extract<Action, { kind: 'send' }>[] = [];
    const handle = site.router.handle.bind(site.router);
    site.router.handle = (event, now) => {
      const actions = handle(event, now);
      sent.push(...actions.filter((action) => action.kind === 'send'));
      return actions;
    };
    site.hear('gratuitous', STRANGER, GATEWAY);
    site.advance(5000);
    const frames = sent.map(({ bytes }) => decodeArp(bytes)).filter((frame) => typeof frame !== 'string');
    assert.deepEqual(
      frames.map(({ destination, source, senderIp, targetIp }) => [destination, source, senderIp, targetIp]),
      [0x0a020201, 0, 0x0a020201, 0].map((sender) => [STRANGER, OUR_MAC[LAN1], sender, GATEWAY]),
    );
  });

  it('of thousands of invented MACs costs a few questions at a time', () => {
    const site = new Site();
    let asked = 0;
    for (let i = 0; i < 5000; i++) {
      const actions = site.hear('gratuitous', (0x02ee00000000 + i) as Mac, GATEWAY);
      asked += actions.filter((action) => action.kind === 'send').length;
    }
    assert.ok(asked <= 16, `${asked} asked`);
    site.advance(3000);
    assert.equal(site.others, 0);
    site.appear();
    site.advance(10);
    assert.equal(site.others, 1, 'and a real one is found afterwards');
  });
});

describe('another router', () => {
  it('is there while it answers: alarm, and silence for that gateway on that LAN only', () => {
    const site = new Site();
    const alarms: string[] = [];
    const handle = site.router.handle.bind(site.router);
    site.router.handle = (event, now) => {
      const actions = handle(event, now);
      for (const action of actions) if (action.kind === 'alarm') alarms.push(action.alarm);
      return actions;
    };
    site.appear();
    site.advance(10);
    for (let second = 0; second < 60; second++) {
      assert.ok(!site.isAnswered(LAN1), `silent on its LAN after ${second} s`);
      assert.ok(site.isAnswered(LAN0), `answered on the other one after ${second} s`);
      site.advance(1000);
    }
    assert.deepEqual(alarms, ['other-router'], 'one alarm');
    assert.ok(site.isAnswered(LAN1, 0x0a010101 as Ipv4), 'other gateways are answered there');
  });

  for (const lateMs of [0, 100, 4999, 9999])
    it(`is over within 15 s when it falls silent ${lateMs} ms after an answer`, () => {
      const site = new Site();
      site.appear();
      site.advance(10 + lateMs);
      site.setAnswering(GATEWAY, STRANGER, LAN1, false);
      site.advance(15_000);
      assert.equal(site.others, 0);
      assert.ok(site.isAnswered(LAN1));
    });

  it('is no host on that LAN, is one on another LAN, and when it is over', () => {
    const site = new Site();
    site.appear();
    site.advance(10);
    site.setAnswering(VISITOR, STRANGER, LAN1, true);
    assert.deepEqual(reasons(site.hear('gratuitous', STRANGER, VISITOR)), ['other-router']);
    site.setAnswering(VISITOR, STRANGER, LAN1, false);
    runStep(site, { do: 'plug', iface: LAN0, ip: VISITOR, mac: STRANGER });
    site.advance(100);
    assert.equal(site.router.host(VISITOR)?.attachment?.iface, LAN0);
  });

  it('that corrects its address is asked at once, and the address that it has now is learned', () => {
    const site = new Site();
    site.appear();
    site.advance(600);
    site.setAnswering(GATEWAY, STRANGER, LAN1, false);
    site.setAnswering(VISITOR, STRANGER, LAN1, true);
    site.hear('gratuitous', STRANGER, VISITOR);
    site.advance(4000);
    assert.equal(site.others, 0);
    assert.equal(site.router.host(VISITOR)?.attachment?.iface, LAN1);
    assert.ok(site.router.host(VISITOR)?.held);
  });

  it('proves nothing for others: the answers of its proxy ARP are not heard', () => {
    const site = new Site();
    site.appear();
    site.advance(10);
    // It answers for a host that announced itself with a MAC of its own, and is silent.
    site.setAnswering(VISITOR, STRANGER, LAN1, true);
    const bytes = encodeArp({
      destination: OUR_MAC[LAN1] as Mac,
      source: STRANGER,
      opcode: ARP_REPLY,
      senderMac: STRANGER,
      senderIp: VISITOR,
      targetMac: OUR_MAC[LAN1] as Mac,
      targetIp: GATEWAY,
    });
    site.hear('gratuitous', HOST, VISITOR);
    assert.deepEqual(reasons(site.handle({ kind: 'frame', iface: LAN1, bytes })), ['other-router']);
    site.advance(1000);
    assert.ok(!site.router.host(VISITOR)?.held);
  });

  it('that is held as a host stays held and heard', () => {
    const site = new Site();
    runStep(site, { do: 'plug', iface: LAN1, ip: VISITOR, mac: STRANGER });
    site.advance(3000);
    site.appear();
    site.advance(60_000);
    assert.equal(site.others, 1);
    assert.equal(site.router.host(VISITOR)?.state, 'settled');
  });

  it('is not gone because its answers were lost: it is when nothing is missed and it is silent', () => {
    const site = new Site();
    site.appear();
    site.advance(3000);
    site.setAnswering(GATEWAY, STRANGER, LAN1, false);
    for (let at = 0; at < 30_000; at += 400) {
      site.handle({ kind: 'missed', iface: LAN1 });
      site.advance(400);
      assert.equal(site.others, 1);
    }
    site.advance(15_000);
    assert.equal(site.others, 0);
  });

  it('keeps its hosts: we do not ask in the name of its gateway there', () => {
    const site = new Site();
    site.appear();
    site.advance(10);
    const asked = site.hear('gratuitous', HOST, VISITOR).flatMap((action) => {
      const frame = action.kind === 'send' ? decodeArp(action.bytes) : 'none';
      return typeof frame === 'string' ? [] : [frame.senderIp];
    });
    assert.deepEqual(asked, [0x0a020201], 'our own address');
  });

  it('is forgotten by `clear` of the gateway, of its own address, and with its interface', () => {
    for (const how of ['gateway', 'address', 'link', 'policy'] as const) {
      const site = new Site();
      site.appear();
      site.advance(10);
      site.hear('gratuitous', STRANGER, HOME);
      site.setAnswering(GATEWAY, STRANGER, LAN1, false);
      const clear = (ip: Ipv4) => site.handle({ kind: 'command', token: 1, command: { name: 'clear', ip } });
      if (how === 'link') site.handle({ kind: 'link', link: link(LAN1, { carrier: false }) });
      else if (how === 'policy') {
        const subnets = [{ prefix: parsePrefix('10.9.9.0/24') as Prefix, gateways: [] }];
        site.router.setPolicy({ ...site.policy, subnets }, site.now);
      } else {
        const [reply] = clear(how === 'gateway' ? GATEWAY : HOME).filter(({ kind }) => kind === 'reply');
        assert.ok(reply?.kind === 'reply' && reply.ok);
      }
      assert.equal(site.others, 0, how);
      site.advance(20_000);
    }
  });
});
