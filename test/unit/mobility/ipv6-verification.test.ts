import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../../../src/mobility/events.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { HostTracker } from '../../../src/mobility/tracker.js';
import {
  type Ip,
  type Mac,
  formatIp,
  isUnspecified,
  solicitedNodeGroup,
} from '../../../src/wire/addresses.js';
import { HOST_MAC, LAN0, macOf } from './small-router.js';
import { ip6, makeRouter6, route, sent6, solicit, until6 } from './small-router6.js';

/** Whether a host answers itself, or a router for it (RFC 4861 section 7.2.8): proxies leave the override flag 0. */

const HOST = '2001:db8:1::5';
const ROUTER_MAC = 0x0200000000aa as Mac;

const toLan = (actions: readonly Action[]) =>
  sent6(actions).filter(({ iface, purpose }) => iface === LAN0 && purpose === 'probe');

const answer = (tracker: HostTracker, asker: Ip, isOverride: boolean, now: number, mac = HOST_MAC) => {
  const manner = { linkLocal: undefined, isRouter: false, isOverride };
  const bytes = ndDriver.answer(mac, ip6(HOST), macOf(LAN0), asker, manner);
  return tracker.handle({ kind: 'frame', iface: LAN0, bytes }, now);
};

/** A host of lan0 that another router claims is heard there. */
function appears() {
  const tracker = makeRouter6();
  const claim = route(`${HOST}/128`, 188, 'fe80::fe');
  tracker.handle({ kind: 'route', change: 'add', route: claim, initial: false }, 500);
  until6(tracker, 3000);
  assert.equal(tracker.host(ip6(HOST))?.state, 'away');
  const [question] = toLan(solicit(tracker, LAN0, HOST, '2001:db8:1::1', { now: 4000 }));
  assert.ok(question !== undefined);
  assert.equal(question.destinationIp, ip6(HOST));
  return { tracker, asker: question.sourceIp };
}

describe('an answer that may be a proxy’s', () => {
  it('is asked for once more at that MAC, by the group of the address, and never from ::', () => {
    const { tracker, asker } = appears();
    const asked = toLan(answer(tracker, asker, false, 4001));
    assert.deepEqual(
      asked.map((one) => [one.destination, one.destinationIp, formatIp(one.targetIp)]),
      [[HOST_MAC, solicitedNodeGroup(ip6(HOST)), HOST]],
    );
    assert.ok(asked.every(({ sourceIp }) => !isUnspecified(sourceIp)));
    assert.equal(tracker.host(ip6(HOST))?.held, false);
  });

  it('is one when it comes without the override flag again', () => {
    const { tracker, asker } = appears();
    answer(tracker, asker, false, 4001);
    answer(tracker, asker, false, 4002);
    assert.equal(tracker.host(ip6(HOST))?.held, false);
    const later = until6(tracker, 6000);
    assert.ok(later.every(({ kind }) => kind !== 'claim'));
    assert.ok(sent6(later).every(({ sourceIp }) => !isUnspecified(sourceIp)));
  });

  it('is the host’s own when it has the flag, once it is asked again', () => {
    for (const first of [true, false]) {
      const { tracker, asker } = appears();
      answer(tracker, asker, first, 4001);
      assert.equal(tracker.host(ip6(HOST))?.held, false);
      answer(tracker, asker, true, 4002);
      assert.equal(tracker.host(ip6(HOST))?.held, true, String(first));
    }
  });

  it('of another MAC is no answer to it', () => {
    const { tracker, asker } = appears();
    answer(tracker, asker, false, 4001);
    answer(tracker, asker, true, 4002, ROUTER_MAC);
    assert.equal(tracker.host(ip6(HOST))?.isHeldAt(LAN0, ROUTER_MAC), false);
  });
});
