import assert from 'node:assert/strict';
import { LineSplitter } from '../../../../src/kernel/ip/exec.js';
import { IfnameCache } from '../../../../src/kernel/ip/ifname-cache.js';
import { type MonitorLine, isOwnNotification, parseMonitorLine } from '../../../../src/kernel/ip/monitor.js';
import { LinkTable } from '../../../../src/kernel/watch/links.js';
import { type Target, textOf } from '../../engine/target.js';
import { checkAddress, checkFdb, checkLink, checkNeighbour, checkRoute } from './dump.js';

/** What `ip monitor` prints, cut into pieces as a pipe cuts it. Names, aliases and table names in it are others' text. */

function check(line: MonitorLine): void {
  switch (line.kind) {
    case 'link':
      return checkLink(line);
    case 'address':
      return checkAddress(line);
    case 'route':
      return checkRoute(line);
    case 'neighbour':
      return checkNeighbour(line);
    case 'fdb':
      return checkFdb(line);
    case 'netconf':
      return assert.equal(typeof line.dev, 'string');
  }
}

function linesOf(text: string, piece: number): string[] {
  const splitter = new LineSplitter();
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += piece)
    splitter.push(text.slice(at, at + piece), (line) => lines.push(line));
  return lines;
}

export const target: Target = {
  covers: [
    'src/kernel/ip/monitor.ts',
    'src/kernel/ip/parse-',
    'src/kernel/ip/ifname-cache.ts',
    'src/kernel/watch/links.ts',
  ],
  maxBytes: 1500,
  words: [
    '\n',
    ' ',
    '\\',
    '\\    ',
    '\t',
    'Deleted ',
    'dev ',
    'via ',
    'lladdr ',
    'proto ',
    'table ',
    'metric ',
    'nexthop',
    'inet ',
    'link/ether ',
    '<UP,LOWER_UP>',
    'default',
    '10.1.1.5',
    'lan0',
    'PERMANENT',
    'extern_learn',
    'master br0',
  ],
  run(input) {
    const text = textOf(input);
    const lines = linesOf(text, text.length + 1);
    for (const piece of [1, 13]) assert.deepEqual(linesOf(text, piece), lines, `in pieces of ${piece}`);
    const names = new IfnameCache();
    const links = new LinkTable();
    for (const line of lines) {
      isOwnNotification(line);
      const parsed = parseMonitorLine(line);
      if (parsed === undefined || parsed === 'ignored') continue;
      check(parsed);
      if (parsed.kind === 'link') names.note(parsed);
      if (parsed.kind === 'link' || parsed.kind === 'address')
        links.apply(parsed, (name) => names.resolve(name));
    }
    for (const link of links.all()) assert.equal(links.get(link.index), link);
    // A dump of the same lines: every interface once, and a second one changes nothing.
    const parsed = lines.map((line) => parseMonitorLine(line));
    const found = parsed.filter((line) => typeof line === 'object');
    const linkLines = found.filter((line) => line.kind === 'link');
    const addressLines = found.filter((line) => line.kind === 'address');
    links.replace(linkLines, addressLines);
    const indices = new Set(linkLines.map(({ index }) => index));
    assert.deepEqual(new Set([...links.all()].map(({ index }) => index)), indices);
  },
};
