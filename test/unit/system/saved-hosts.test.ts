import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { allowedHosts, readSavedHosts } from '../../../src/system/state/saved-hosts.js';
import { parseConfig } from '../../../src/config/config.js';
import { type Ip, type Mac, formatIp, parseIp, parseMac } from '../../../src/wire/addresses.js';

const directory = mkdtempSync(join(tmpdir(), 'marpd-memory-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function read(text: string): { readonly ips: string[]; readonly warnings: string[] } {
  writeFileSync(join(directory, 'hosts.json'), text);
  const warnings: string[] = [];
  const memories = readSavedHosts(directory, (message) => warnings.push(message));
  return { ips: memories.map(({ ip }) => formatIp(ip)), warnings };
}

describe('hosts.json (design.md 3.2)', () => {
  const good = { ip: '10.1.1.5', mac: '02:00:00:00:00:01', interface: 'lan0', reason: 'stop' };
  const written = (hosts: unknown) => JSON.stringify({ version: 1, writtenAt: '', hosts });

  it('an entry that cannot be read costs only itself, and is named', () => {
    const other = { ...good, ip: '10.1.1.6' };
    const bad = [{ ...good, ip: '10.1.1.256' }, { ...good, mac: 7 }, { ip: '10.1.1.7' }, null];
    const { ips, warnings } = read(written([good, ...bad, other]));
    assert.deepEqual(ips, ['10.1.1.5', '10.1.1.6']);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /4 of 6 hosts .* first is hosts\[1\]/);
  });

  it('good entries are read without a word', () => {
    assert.deepEqual(read(written([good])), { ips: ['10.1.1.5'], warnings: [] });
  });

  it('a file that is none of ours is ignored as a whole', () => {
    for (const text of ['', '{', '[]', 'null', written(7), '{"version":2,"hosts":[]}']) {
      const { ips, warnings } = read(text);
      assert.deepEqual(ips, []);
      assert.match(warnings.join(), /not a hosts file of marpd/);
    }
  });
});

describe('hosts.json of another configuration', () => {
  const host = (ip: string, mac: string, name: string) => ({
    ip: parseIp(ip) as Ip,
    mac: parseMac(mac) as Mac,
    interface: name,
    reason: 'stop',
  });
  const visitor = host('10.1.1.5', '02:00:00:00:00:01', 'lan0');
  const hosts = [
    visitor,
    host('10.1.1.6', '02:00:00:00:00:02', 'lan7'),
    host('10.1.1.7', '02:00:00:00:00:03', 'lan0'),
    host('192.0.2.5', '02:00:00:00:00:04', 'lan0'),
    host('10.1.1.99', '02:00:00:00:00:05', 'lan0'),
  ];
  const allowed = (text: string) =>
    allowedHosts(hosts, parseConfig(`[[interface]]\nname = "lan0"\n${text}`).policy).map(({ ip }) =>
      formatIp(ip),
    );

  it('is taken up only for allowed addresses on interfaces of the configuration', () => {
    const policy = `[policy]\ndeny = ["10.1.1.99/32"]\nbind = [{ ip = "10.1.1.7", mac = "02:00:00:00:00:66" }]\n`;
    assert.deepEqual(allowed(`[[subnet]]\nprefix = "10.1.1.0/24"\n${policy}`), ['10.1.1.5']);
    assert.deepEqual(allowed(`[policy]\nallow = ["192.0.2.0/24"]\n`), ['192.0.2.5']);
  });

  it('without allowed prefixes in the file every address counts: connected subnets are not known yet', () => {
    assert.deepEqual(allowed(''), ['10.1.1.5', '10.1.1.7', '192.0.2.5', '10.1.1.99']);
  });

  it('is taken up of each family that is served: a [[subnet]] of one says nothing of the other', () => {
    const both = [visitor, host('2001:db8:1::5', '02:00:00:00:00:01', 'lan0')];
    const of = (families: string, text = '') => {
      const file = `[[interface]]\nname = "lan0"\n${text}[router]\nfamilies = [${families}]\n`;
      return allowedHosts(both, parseConfig(file).policy).map(({ ip }) => formatIp(ip));
    };
    assert.deepEqual(of('"ipv4", "ipv6"'), ['10.1.1.5', '2001:db8:1::5']);
    assert.deepEqual(of('"ipv4", "ipv6"', '[[subnet]]\nprefix = "10.1.1.0/24"\n'), [
      '10.1.1.5',
      '2001:db8:1::5',
    ]);
    assert.deepEqual(of('"ipv4", "ipv6"', '[[subnet]]\nprefix = "2001:db8:2::/64"\n'), ['10.1.1.5']);
    assert.deepEqual(of('"ipv6"'), ['2001:db8:1::5']);
    assert.deepEqual(of('"ipv4"'), ['10.1.1.5']);
  });
});
