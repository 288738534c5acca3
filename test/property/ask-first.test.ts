import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, IfIndex } from '../../src/mobility/events.js';
import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
  writeIpv4,
  writeMac,
} from '../../src/wire/addresses.js';
import { ARP_REPLY, decodeArp, encodeArp } from '../../src/wire/arp.js';
import { ETHER_TYPE_IPV4 } from '../../src/wire/ethernet.js';
import {
  Driver,
  GATEWAY,
  IPS,
  LAN0,
  LAN1,
  MACS,
  OUR_MAC,
  WAN,
  hostRoute,
  link,
  testPolicy,
  questionOf,
} from './driver.js';
import { runStep } from './steps.js';

/** A visitor asks for somebody of whom nothing is known: its own LAN is asked first (design.md 3.2). */

const ip = (text: string) => parseIp(text) as Ipv4;
const ASKER = IPS[4] as Ipv4;
const [MINE, THEIRS] = MACS as unknown as readonly [Mac, Mac];
/** Of the asker's subnet, which is at home nowhere here, so that the default route leads to it. */
const TARGET = ip('10.9.9.7');

type Send = Extract<Action, { kind: 'send' }>;

class Site extends Driver {
  readonly sends: (Send & { readonly at: number })[] = [];

  constructor() {
    super(testPolicy());
    const handle = this.router.handle.bind(this.router);
    this.router.handle = (event, now) => {
      const actions = handle(event, now);
      for (const action of actions) if (action.kind === 'send') this.sends.push({ ...action, at: now });
      return actions;
    };
    this.boot();
    const route = hostRoute(0 as Ipv4, { prefix: { ip: 0 as Ipv4, length: 0 } });
    this.handle({ kind: 'route', change: 'add', route, initial: true });
    runStep(this, { do: 'plug', iface: LAN1, ip: ASKER, mac: MINE });
    this.advance(3000);
    this.sends.length = 0;
  }

  ask(target: Ipv4, asker: Ipv4 = ASKER, mac = MINE, iface: IfIndex = LAN1): void {
    const bytes = questionOf(mac, asker, target);
    this.handle({ kind: 'frame', iface, bytes });
  }

  reply(from: Mac, sender: Ipv4, to: Ipv4, iface: IfIndex = LAN1): void {
    const own = OUR_MAC[iface] as Mac;
    const bytes = encodeArp({
      destination: own,
      source: from,
      opcode: ARP_REPLY,
      senderMac: from,
      senderIp: sender,
      targetMac: own,
      targetIp: to,
    });
    this.handle({ kind: 'frame', iface, bytes });
  }

  /** Who was answered for this address, and when. */
  answers(target: Ip): { asker: Ip; at: number }[] {
    return this.#frames('answer', (frame) => frame.senderIp === target).map(({ targetIp, at }) => ({
      asker: targetIp,
      at,
    }));
  }

  /** Broadcast questions for this address. */
  questions(target: Ip): { sender: Ip; at: number }[] {
    return this.#frames(
      'probe',
      (frame) => frame.targetIp === target && frame.destination === MAC_BROADCAST,
    ).map(({ senderIp, at }) => ({ sender: senderIp, at }));
  }

  #frames(
    purpose: Send['purpose'],
    matches: (frame: Exclude<ReturnType<typeof decodeArp>, string>) => boolean,
  ) {
    return this.sends.flatMap((send) => {
      const frame = decodeArp(send.bytes);
      if (send.purpose !== purpose || typeof frame === 'string' || !matches(frame)) return [];
      return [{ ...frame, at: send.at }];
    });
  }
}

describe('nothing is known of the target', () => {
  it("its LAN is asked twice by broadcast, in our name and in its gateway's; after 100 ms of silence we answer", () => {
    const site = new Site();
    const start = site.now;
    site.ask(TARGET);
    assert.deepEqual(site.answers(TARGET), []);
    site.advance(1000);
    assert.deepEqual(site.questions(TARGET), [
      { sender: ip('10.2.2.1'), at: start },
      { sender: GATEWAY, at: start + 50 },
    ]);
    assert.deepEqual(site.answers(TARGET), [{ asker: ASKER, at: start + 100 }]);
  });

  it('somebody there answers within 100 ms: silence, for a minute, and it is learned', () => {
    const site = new Site();
    site.ask(TARGET);
    site.advance(90);
    site.setAnswering(TARGET, THEIRS, LAN1, true);
    site.reply(THEIRS, TARGET, ip('10.2.2.1'));
    site.advance(3000);
    for (let second = 0; second < 120; second++) {
      site.ask(TARGET);
      site.advance(1000);
    }
    assert.deepEqual(site.answers(TARGET), []);
    assert.equal(site.router.host(TARGET)?.state, 'settled');
  });

  it('somebody there who may not be learned counts as well', () => {
    const site = new Site();
    const foreign = ip('172.16.5.5');
    site.ask(foreign);
    site.advance(40);
    site.reply(THEIRS, foreign, ip('10.2.2.1'));
    site.advance(1000);
    site.ask(foreign);
    site.advance(1000);
    assert.deepEqual(site.answers(foreign), []);
    assert.equal(site.questions(foreign).length, 1, 'and the question is over');
  });

  it('the outcome is remembered for a minute: then it is asked again', () => {
    const site = new Site();
    site.ask(TARGET);
    site.advance(200);
    const before = site.now;
    site.ask(TARGET);
    assert.equal(site.answers(TARGET).at(-1)?.at, before, 'at once');
    assert.equal(site.questions(TARGET).length, 2);
    site.advance(61_000);
    site.ask(TARGET);
    assert.equal(site.questions(TARGET).length, 3);
  });

  it('several askers share one question', () => {
    const site = new Site();
    const others = ['10.9.9.20', '10.9.9.21', '10.9.9.22'].map(ip);
    site.ask(TARGET);
    site.ask(TARGET);
    // They may not be learned, so their answers wait for no route.
    site.router.setPolicy({ ...site.policy, deny: [parsePrefix('10.9.9.16/28') as Prefix] }, site.now);
    for (const [at, asker] of others.entries()) site.ask(TARGET, asker, (0x02cc00000000 + at) as Mac);
    site.advance(1000);
    assert.equal(site.questions(TARGET).length, 2);
    assert.deepEqual(
      site.answers(TARGET).map(({ asker }) => asker),
      [ASKER, ...others],
    );
  });

  it('who appears there afterwards ends the memory that nobody has it', () => {
    const site = new Site();
    site.ask(TARGET);
    site.advance(200);
    site.reply(THEIRS, TARGET, GATEWAY);
    site.advance(1000);
    const before = site.answers(TARGET).length;
    site.ask(TARGET);
    assert.equal(site.answers(TARGET).length, before, 'asked again first');
  });

  it('our own MAC on another interface, or another router, is nobody there', () => {
    const site = new Site();
    site.setAnswering(GATEWAY, THEIRS, LAN1, true);
    site.reply(THEIRS, GATEWAY, ip('10.2.2.1'));
    site.advance(100);
    assert.equal([...site.router.otherRouters()].length, 1);
    site.ask(TARGET);
    site.reply(THEIRS, TARGET, ip('10.2.2.1'));
    site.reply(OUR_MAC[LAN0] as Mac, TARGET, ip('10.2.2.1'));
    site.advance(200);
    assert.equal(site.answers(TARGET).length, 1);
  });

  it('a scan of a subnet by one host is no broadcast storm, and gateways are answered throughout', () => {
    const site = new Site();
    for (let i = 0; i < 5000; i++) {
      site.ask((ip('10.9.0.0') + i) as Ipv4);
      if (i % 100 === 0) site.advance(20);
    }
    const questions = site.sends.filter(({ purpose }) => purpose === 'probe').length;
    assert.ok(questions <= 2 * (50 + 20 * 2), `${questions} questions`);
    const before = site.now;
    site.ask(GATEWAY);
    assert.equal(site.answers(GATEWAY).at(-1)?.at, before);
  });

  it('while nothing is heard there, silence proves nothing', () => {
    const site = new Site();
    site.ask(TARGET);
    site.handle({ kind: 'capture', iface: LAN1, open: false });
    site.advance(1000);
    assert.deepEqual(site.answers(TARGET), []);
  });

  it('another LAN may be behind the interface when its link returns', () => {
    const site = new Site();
    site.ask(TARGET);
    site.advance(200);
    for (const carrier of [false, true]) site.handle({ kind: 'link', link: link(LAN1, { carrier }) });
    site.sends.length = 0;
    site.ask(TARGET);
    assert.equal(site.questions(TARGET).length, 1);
  });

  it('a packet to a stale neighbour: the visitor is told after the question, and only if nobody is there', () => {
    for (const present of [false, true]) {
      const site = new Site();
      const bytes = new Uint8Array(34);
      writeMac(bytes, 0, THEIRS);
      writeMac(bytes, 6, MINE);
      bytes.set([ETHER_TYPE_IPV4 >> 8, ETHER_TYPE_IPV4 & 255, 0x45], 12);
      writeIpv4(bytes, 26, ASKER);
      writeIpv4(bytes, 30, TARGET);
      site.handle({ kind: 'misdirected-packet', iface: LAN1, bytes });
      assert.equal(site.questions(TARGET).length, 1);
      if (present) site.reply(THEIRS, TARGET, ip('10.2.2.1'));
      site.advance(1000);
      const repairs = site.sends.filter(({ purpose }) => purpose === 'repair');
      assert.equal(repairs.length, present ? 0 : 1);
    }
  });
});

describe('what is known is answered at once', () => {
  const cases: Readonly<Record<string, (site: Site) => void>> = {
    'claimed on another interface': (site) =>
      runStep(site, { do: 'plug', iface: LAN0, ip: TARGET, mac: THEIRS }),
    'claimed by another router': (site) => {
      site.handle({ kind: 'route', change: 'add', route: hostRoute(TARGET), initial: false });
    },
    'a host route of somebody else': (site) => {
      const route = hostRoute(TARGET, { protocol: 4, iface: WAN });
      site.handle({ kind: 'route', change: 'add', route, initial: false });
    },
  };
  for (const [what, arrange] of Object.entries(cases))
    it(what, () => {
      const site = new Site();
      arrange(site);
      site.advance(3000);
      site.sends.length = 0;
      const before = site.now;
      site.ask(TARGET);
      assert.deepEqual(site.answers(TARGET), [{ asker: ASKER, at: before }]);
      assert.deepEqual(site.questions(TARGET), []);
    });

  it('at home on another interface and heard lately', () => {
    const site = new Site();
    const home = IPS[1] as Ipv4;
    runStep(site, { do: 'plug', iface: LAN0, ip: home, mac: THEIRS });
    site.advance(30_000);
    const before = site.now;
    site.ask(home);
    assert.deepEqual(site.answers(home), [{ asker: ASKER, at: before }]);
  });
});
