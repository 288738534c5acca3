import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Link } from '../../src/mobility/events.js';
import { Crowd } from './crowd.js';
import { LAN0, link } from './driver.js';

/** A bridge port that comes back asks its guests (design.md 3.2, "Ask lost hosts again"). LAN0 is a bridge here. */

const TAP0 = 20;
const TAP1 = 21;
const NEW_TAP = 22;

const port = (index: number, change: Partial<Link> = {}): Link => ({
  ...link(LAN0),
  index,
  name: `tap${index}`,
  type: 'tun',
  addresses: [],
  master: LAN0,
  ...change,
});

/** A quiet guest behind each of two ports. */
class Bridge {
  readonly crowd = new Crowd();
  readonly asked = new Map<number, number>();
  /** Guests whose port forwards. */
  readonly there = new Set([0, 1]);

  constructor() {
    const { crowd } = this;
    crowd.delayOf = ({ ip }) => {
      const n = ip - Crowd.ip(0);
      this.asked.set(n, (this.asked.get(n) ?? 0) + 1);
      return this.there.has(n) ? 1 : Number.POSITIVE_INFINITY;
    };
    for (const [n, index] of [TAP0, TAP1].entries()) {
      crowd.take({ kind: 'link', link: port(index) });
      crowd.take({ kind: 'fdb', bridge: LAN0, mac: Crowd.mac(n), port: index });
      crowd.says(n, LAN0);
    }
    crowd.advance(3000);
    assert.equal(crowd.claimed, 2);
  }

  /** The guest behind it is cut off, and the kernel forgets where its MAC was. */
  lose(change: 'down' | 'no carrier' | 'no master' | 'deleted'): void {
    const { crowd } = this;
    this.there.delete(0);
    crowd.take({ kind: 'fdb', bridge: LAN0, mac: Crowd.mac(0), port: undefined });
    if (change === 'down') crowd.take({ kind: 'link', link: port(TAP0, { up: false, carrier: false }) });
    else if (change === 'no carrier') crowd.take({ kind: 'link', link: port(TAP0, { carrier: false }) });
    else if (change === 'no master') crowd.take({ kind: 'link', link: port(TAP0, { master: undefined }) });
    else crowd.take({ kind: 'link-gone', iface: TAP0 });
    assert.equal(this.routed(0), false, 'withdrawn with its port');
    assert.equal(this.routed(1), true);
  }

  routed(n: number): boolean {
    return this.crowd.router.host(Crowd.ip(n))?.claimed === true;
  }
}

describe('a bridge port that comes back asks its guests', () => {
  for (const change of ['down', 'no carrier', 'no master', 'deleted'] as const)
    for (const awayMs of [1000, 120_000])
      it(`it was ${change} for ${awayMs} ms: its quiet guest is routed within 5 ms`, () => {
        const bridge = new Bridge();
        bridge.lose(change);
        bridge.crowd.advance(awayMs);
        bridge.there.add(0);
        bridge.asked.clear();
        bridge.crowd.take({ kind: 'link', link: port(change === 'deleted' ? NEW_TAP : TAP0) });
        bridge.crowd.advance(5);
        assert.equal(bridge.routed(0), true);
        assert.equal(bridge.asked.get(1), undefined, 'the other guest is left alone');
      });

  it('a guest that needs a moment, or spanning tree 30 s, is asked again', () => {
    for (const bootMs of [900, 2900, 14_000, 31_000]) {
      const bridge = new Bridge();
      bridge.lose('down');
      bridge.crowd.advance(120_000);
      bridge.crowd.take({ kind: 'link', link: port(TAP0) });
      bridge.crowd.advance(bootMs);
      bridge.there.add(0);
      bridge.crowd.advance(1200);
      assert.equal(bridge.routed(0), true, `${bootMs} ms`);
    }
  });

  it('another port of the bridge that comes back has other guests', () => {
    const bridge = new Bridge();
    bridge.lose('down');
    bridge.crowd.advance(120_000);
    bridge.asked.clear();
    bridge.crowd.take({ kind: 'link', link: port(TAP1, { carrier: false }) });
    bridge.crowd.take({ kind: 'link', link: port(TAP1) });
    bridge.crowd.advance(100);
    assert.equal(bridge.asked.get(0), undefined);
    assert.equal(bridge.routed(1), true);
  });

  it('a change of a port that runs on asks nobody', () => {
    const bridge = new Bridge();
    bridge.asked.clear();
    bridge.crowd.take({ kind: 'link', link: port(TAP0, { name: 'guest0' }) });
    bridge.crowd.advance(100);
    assert.equal(bridge.asked.size, 0);
  });
});
