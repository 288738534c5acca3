import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AdvertisedUplinks } from '../../../src/kernel/watch/advertised-uplinks.js';
import type { Event, Route } from '../../../src/mobility/events.js';
import { type Ip, type Prefix, parseIp, parsePrefix } from '../../../src/wire/addresses.js';

const route = (more: Partial<Route> = {}): Route => ({
  prefix: parsePrefix('::/0') as Prefix,
  table: 254,
  protocol: 9,
  metric: 1024,
  type: 'unicast',
  iface: 2,
  via: parseIp('fe80::1') as Ip,
  ...more,
});
const told = (change: 'add' | 'delete', more: Partial<Route> = {}): Event => ({
  kind: 'route',
  change,
  route: route(more),
  initial: false,
});

describe('default routes by router advertisement (RFC 4861 section 6.3.4)', () => {
  it('two routers of one link: it is an uplink until the last of them is gone', () => {
    const uplinks = new AdvertisedUplinks();
    const other = { via: parseIp('fe80::2') as Ip };
    for (const event of [told('add'), told('add', other), told('delete')]) uplinks.note(event);
    assert.deepEqual([...uplinks.all()], [2]);
    uplinks.note(told('delete', other));
    assert.deepEqual([...uplinks.all()], []);
  });

  it('other protocols, prefixes and families are none', () => {
    const uplinks = new AdvertisedUplinks();
    uplinks.note(told('add', { protocol: 188 }));
    uplinks.note(told('add', { prefix: parsePrefix('2001:db8::/32') as Prefix }));
    uplinks.note(told('add', { prefix: parsePrefix('0.0.0.0/0') as Prefix }));
    assert.equal(uplinks.all().size, 0);
  });

  it('what a dump does not repeat is gone, and what is on a link goes with it', () => {
    const uplinks = new AdvertisedUplinks();
    uplinks.note(told('add'));
    uplinks.note(told('add', { iface: 3 }));
    uplinks.note({ kind: 'routes-begin' });
    uplinks.note(told('add', { iface: 3 }));
    uplinks.note({ kind: 'routes-end' });
    assert.deepEqual([...uplinks.all()], [3]);
    uplinks.note({ kind: 'link-gone', iface: 3 });
    assert.equal(uplinks.all().size, 0);
  });
});
