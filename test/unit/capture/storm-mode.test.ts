import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type KnownHost, KnownHosts, encodeKnownHosts } from '../../../src/capture/overload/known-hosts.js';
import { KNOW, MAX_PAYLOAD_BYTES, REFUSE, decodeRefuse } from '../../../src/capture/protocol.js';
import { StormMode } from '../../../src/capture/overload/storm-mode.js';
import { type Ip, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';

const host = (i: number): KnownHost => [(0xac10_0000 + i) as Ip, (0xfe54_0000_0000 + i) as Mac];
const V6 = parseIp('2001:db8::5') as Ip;

function knows(acquaintances: KnownHosts, [ip, mac]: KnownHost): boolean {
  return acquaintances.has(ip as number, Math.floor(mac / 2 ** 32), mac % 2 ** 32);
}

describe('acquaintances', () => {
  it('are told in as many records as it takes, and known by address and MAC', () => {
    const hosts = Array.from({ length: 1000 }, (_, i) => host(i));
    const there = new KnownHosts();
    let records = 0;
    for (const payload of encodeKnownHosts([...hosts, [V6, parseMac('02:00:00:00:00:05') as Mac]])) {
      assert.ok(payload.length <= MAX_PAYLOAD_BYTES);
      there.learn(payload);
      records++;
    }
    assert.equal(records, 5);
    assert.equal(there.size, 1000);
    for (const each of hosts) assert.ok(knows(there, each));
    assert.equal(knows(there, host(1000)), false);
    assert.equal(knows(there, [host(0)[0], host(1)[1]]), false, 'another MAC');
    there.learn([...encodeKnownHosts([[host(0)[0], host(5000)[1]]])][0] as Uint8Array);
    assert.equal(knows(there, host(0)), false, 'its MAC before');
    there.forget();
    assert.equal(knows(there, host(1)), false);
  });

  it('nobody is told of in no record', () => {
    assert.deepEqual([...encodeKnownHosts([])], []);
  });
});

describe('storms', () => {
  function scene() {
    const said: string[] = [];
    const storms = new StormMode(
      () => [host(1), host(2)],
      (iface, kind, payload) => {
        const what = kind === KNOW ? `knows ${payload.length / 10}` : `refuses ${decodeRefuse(payload)}`;
        assert.ok(kind === KNOW || kind === REFUSE);
        said.push(`${iface} ${what}`);
      },
    );
    const since = () => said.splice(0);
    return { storms, since };
  }

  it('a child is told whom the daemon knows before it refuses anybody, once per storm', () => {
    const { storms, since } = scene();
    storms.refuse(7, 1, 50, 0);
    storms.refuse(7, 1, 50, 100);
    assert.deepEqual(since(), ['7 knows 2', '7 refuses 50', '7 refuses 50']);
    storms.refuse(7, 1, 50, 5101);
    assert.deepEqual(since(), ['7 knows 2', '7 refuses 50'], 'it may have forgotten');
  });

  it('a child that takes over, or opens the interface anew, is told again', () => {
    const { storms, since } = scene();
    storms.refuse(7, 1, 50, 0);
    since();
    storms.refuse(7, 2, 50, 10);
    assert.deepEqual(since(), ['7 knows 2', '7 refuses 50']);
  });

  it('who becomes known during a storm is told, and nobody in quiet times', () => {
    const { storms, since } = scene();
    storms.know(host(3), 0);
    assert.deepEqual(since(), []);
    storms.refuse(7, 1, 50, 10);
    storms.refuse(8, 2, 50, 3000);
    since();
    storms.know(host(3), 4000);
    assert.deepEqual(since(), ['7 knows 1', '8 knows 1']);
    storms.know(host(4), 5011);
    assert.deepEqual(since(), ['8 knows 1']);
  });
});
