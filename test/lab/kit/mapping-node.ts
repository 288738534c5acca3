import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readKeys } from '../../../src/mapping/keys.js';
import { Mapping } from '../../../src/mapping/mapping.js';
import { replaceFile } from '../../../src/system/state/state-file.js';
import {
  type Ip,
  type Prefix,
  formatIp,
  formatPrefix,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';

/**
 * The mapping system without the rest of the daemon: `RLOC SERVERS KEY_FILE STATE_DIRECTORY`. Lines on standard input
 * claim and release hosts; lines on standard output are routes, alarms and, on `status`, where it is.
 */

const [rloc, servers, keyFile, directory] = process.argv.slice(2) as [string, string, string, string];
const say = (...words: readonly unknown[]) => process.stdout.write(`${words.join(' ')}\n`);
const ip = (text: string): Ip => parseIp(text) as Ip;

const mapping = new Mapping({
  rloc: ip(rloc),
  instance: 100,
  servers: servers.split(',').map((server) => ({ ip: ip(server), isForeign: false })),
  keys: readKeys(keyFile),
  prefixes: ['10.1.0.0/16', '2001:db8::/48'].map((text) => parsePrefix(text) as Prefix),
  adopted: [],
  scopes: new Map(),
  readState: (name) => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  },
  writeState: (name, text) => replaceFile(join(directory, name), text),
  onRoute: (prefix, to) => say('route', formatPrefix(prefix), to === undefined ? 'gone' : formatIp(to)),
  onAlarm: (alarm, isOver, message) => say('alarm', alarm, isOver ? 'over' : 'on', message),
  onError: (message) => say('error', message),
});
mapping.start();
say('started');

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, first = '', count = '1'] = line.split(' ');
  switch (command) {
    case 'claim': {
      const start = ip(first) as number;
      if (count === '1') mapping.claim(ip(first), 'fresh');
      else for (let i = 0; i < Number(count); i++) mapping.claim((start + i) as Ip, 'fresh');
      return;
    }
    case 'release':
      return mapping.release(ip(first));
    case 'status': {
      const { servers: states, registrations, cache, drops, server } = mapping.status();
      const counts = registrations.map((states) => Object.fromEntries(states));
      const of = { states, counts, cache: cache.length, drops: Object.fromEntries(drops), server };
      say('status', JSON.stringify(of));
      return;
    }
  }
});
