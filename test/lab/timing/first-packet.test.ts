import assert from 'node:assert/strict';
import type { Host } from '../kit/host.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import type { Lab } from '../kit/namespace.js';
import { pause } from '../kit/program.js';
import { REMOTE_IP, Site, routerMac } from '../kit/site.js';

const TRIES = SOAK ? 20 : 10;
/** One of them may meet a busy machine. */
const LOST = 1;
/** Its packet may leave before the repair of its entry, or between that and its route. */
const LOST_AFTER_ANNOUNCEMENT = TRIES / 5;
const GATEWAY = '10.1.1.1';
const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };

function addressOf(number: number): { readonly ip: string; readonly mac: string } {
  return { ip: `10.1.1.${number}`, mac: `02:00:00:00:01:${number.toString(16).padStart(2, '0')}` };
}

/** Gives the host an address and a MAC that nobody has heard of, while it is plugged in nowhere. */
function renew(host: Host, number: number): void {
  const { ip, mac } = addressOf(number);
  host.namespace.ip(
    'addr flush dev eth0',
    `link set eth0 address ${mac}`,
    `addr add ${ip}/24 dev eth0`,
    `route replace default via ${GATEWAY} dev eth0`,
    'neigh flush all',
  );
}

interface Case {
  readonly title: string;
  /** Makes the host a visitor that has sent no packet yet. */
  readonly visit: (host: Host, number: number) => Promise<void>;
  readonly lost?: number;
}

async function plug(host: Host, number: number, carrierDrop: boolean, stale = false): Promise<void> {
  host.unplug(carrierDrop);
  renew(host, number);
  if (stale) host.namespace.ip(`neigh replace ${GATEWAY} lladdr ${routerMac('lan0')} dev eth0 nud reachable`);
  await host.plug('lan1', 'silent', carrierDrop);
  await host.cable.forwards();
}

async function announce(host: Host, number: number): Promise<void> {
  const { ip, mac } = addressOf(number);
  (await host.frames()).gratuitous(ip, mac);
}

/** The last place may object for a second, and a third move within it waits (design.md 3.3). */
const STAY_MS = 1200;

/** design.md 3.2 "First packets". */
const CASES: readonly Case[] = [
  {
    title: 'a fresh visitor with an empty cache, carrier lost',
    visit: (host, number) => plug(host, number, true),
  },
  {
    title: 'a fresh visitor with an empty cache, carrier kept',
    visit: (host, number) => plug(host, number, false),
  },
  {
    title: 'a fresh visitor with a stale gateway entry that announces itself, carrier kept',
    visit: async (host, number) => {
      await plug(host, number, false, true);
      await announce(host, number);
    },
    lost: LOST_AFTER_ANNOUNCEMENT,
  },
  {
    title: 'a fresh visitor with an empty cache that announces itself, carrier lost',
    visit: async (host, number) => {
      await plug(host, number, true);
      await announce(host, number);
    },
    lost: LOST_AFTER_ANNOUNCEMENT,
  },
  {
    title: 'a visitor that moves on, its cache flushed (the hints of the lab)',
    visit: async (host, number) => {
      await pause(STAY_MS);
      host.cable.plug(number % 2 === 0 ? 'lan2' : 'lan1', false);
      await host.cable.forwards();
      host.namespace.ip('neigh flush dev eth0');
    },
  },
];

async function answeredOf(lab: Lab, target: string, { visit }: Case): Promise<number> {
  const site = await new Site(lab, { lans: LANS }).start();
  const host = site.host('visitor');
  await host.frames();
  let answered = 0;
  for (let number = 10; number < 10 + TRIES; number++) {
    await visit(host, number);
    if (host.pings(target)) answered++;
  }
  console.log(`# ${answered} of ${TRIES} first pings of ${target} answered`);
  return answered;
}

for (const each of CASES)
  for (const target of [GATEWAY, REMOTE_IP])
    labTest(`the first ping of ${each.title} is answered: ${target}`, async (lab) => {
      const answered = await answeredOf(lab, target, each);
      assert.ok(answered >= TRIES - (each.lost ?? LOST), `${answered} of ${TRIES}`);
    });
