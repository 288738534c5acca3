// capture/ of IPv6 on real interfaces. Needs root, iproute2 and cc.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type Ip, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';
import { ANNOUNCED, advertisement, solicitation } from '../../unit/capture/nd-frames.js';
import {
  CaptureProcess,
  GRATUITOUS,
  HOST,
  RARP,
  captureProcesses,
  cleanUp,
  ip,
  pair,
  running,
  setUp,
  until,
  wire,
} from '../testbed/capture-testbed.js';

const MAC = parseMac('02:00:00:00:0a:05') as Mac;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const NS = hex(solicitation(MAC, ANNOUNCED, parseIp('fe80::1') as Ip));
const NA = hex(advertisement(MAC));

/** An MLDv2 report with so many records (RFC 3810 section 5.2). */
function report(records: number, type = '8f'): string {
  const payload = 16 + 20 * records;
  const record = `04000000ff0200000000000000000001ff0a0105`;
  return (
    `333300000016${HOST}86dd60000000${payload.toString(16).padStart(4, '0')}0001` +
    `fe80000000000000${'0'.repeat(16)}ff02${'0'.repeat(26)}16` +
    `3a00050200000100${type}000000000000${records.toString(16).padStart(2, '0')}${record.repeat(records)}`
  );
}

/** A capture of these families, and what it hears until a gratuitous ARP request or an advertisement at the end. */
async function hears(name: string, families: readonly string[], ...frames: string[]) {
  const lan = pair(name);
  const child = await new CaptureProcess({ families }).open([lan.index, lan.router]);
  wire('raw', lan.host, ...frames, NA, GRATUITOUS);
  return child.hears(lan.index, 1);
}

describe('capture of IPv6', () => {
  before(setUp);
  afterEach(() => Promise.all(captureProcesses.splice(0).map((child) => child.stop())));
  after(cleanUp);

  it('hears what a Linux host says of itself, and no other IPv6', async () => {
    const lan = pair('a');
    const sysctl = (key: string, value: number) =>
      running('sysctl', '-qw', `net.ipv6.conf.${lan.host}.${key}=${value}`);
    await sysctl('ndisc_notify', 1);
    const child = new CaptureProcess({ families: ['ipv4', 'ipv6'] });
    const mac = /ether ([0-9a-f:]+)/.exec(ip('link', 'show', lan.router))?.[1];
    child.command('open', { iface: lan.index, name: lan.router, mac });
    await child.isOpen(lan.index);
    ip('addr', 'add', '2001:db8:1::5/64', 'dev', lan.host);
    ip('addr', 'add', '2001:db8:1::1/64', 'dev', lan.router, 'nodad');
    const tentative = () => (/tentative/.test(ip('addr', 'show', lan.host)) ? undefined : true);
    await until('duplicate address detection', tentative);
    // Echoes and the advertisement that answers the router's question.
    await running('ping', '-c', '2', '-W', '2', '-I', lan.host, '2001:db8:1::1');
    const heard = await until('all kinds', async () => {
      const now = await child.heard(lan.index);
      return [133, 135, 136, 143].every((type) => now.icmpv6[type] !== undefined) ? now : undefined;
    });
    assert.deepEqual(Object.keys(heard.icmpv6), ['133', '135', '136', '143']);
    assert.equal(heard.other, 0);
  });

  it('hears no redirect, no other ICMPv6 and no Neighbor Discovery behind another header (RFC 6980)', async () => {
    const typed = (type: string) => `${NA.slice(0, 108)}${type}${NA.slice(110)}`;
    const behindOptions = `${NA.slice(0, 40)}00${NA.slice(42, 108)}3a000502000001${NA.slice(108)}`;
    const behindFragment = `${NA.slice(0, 40)}2c${NA.slice(42, 108)}3a00000000000001${NA.slice(108)}`;
    const frames = [typed('89'), typed('80'), report(1, '82'), behindOptions, behindFragment, NS];
    const heard = await hears('b', ['ipv4', 'ipv6'], ...frames);
    assert.deepEqual(heard.icmpv6, { 135: 86, 136: 86 });
  });

  it('reads an MLD report of 20 groups whole, and the head of a longer one', async () => {
    const twenty = await hears('c', ['ipv4', 'ipv6'], report(20));
    assert.equal(twenty.icmpv6[143], 470);
    const more = await hears('c', ['ipv4', 'ipv6'], report(40));
    assert.equal(more.icmpv6[143], 474);
  });

  it('hears nothing of IPv6 where IPv4 alone is served, nor ARP where IPv6 alone is', async () => {
    const ipv4 = await hears('d', ['ipv4'], NS, report(2), RARP);
    assert.deepEqual(ipv4, { frames: 2, rarp: 1, icmpv6: {}, other: 0, senders: 1, disorder: 0 });
    const ipv6 = await hears('e', ['ipv6'], GRATUITOUS, RARP, NS);
    assert.deepEqual(ipv6.icmpv6, { 135: 86, 136: 86 });
    assert.equal(ipv6.rarp, 1);
    assert.equal(ipv6.frames, 3);
  });
});
