import assert from 'node:assert/strict';
import { LineSplitter } from '../../../../src/kernel/ip/exec.js';
import { isOwnNotification, parseMonitorLine } from '../../../../src/kernel/ip/monitor.js';
import { type Target, textOf } from '../../engine/target.js';
import { checkLine } from './dump.js';

/** What `ip monitor` prints, cut into pieces as a pipe cuts it. Names of interfaces and tables in it are others' text. */

function linesOf(text: string, piece: number): string[] {
  const splitter = new LineSplitter();
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += piece)
    splitter.push(text.slice(at, at + piece), (line) => lines.push(line));
  return lines;
}

export const target: Target = {
  covers: ['src/kernel/ip/monitor.ts', 'src/kernel/ip/parse-'],
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
    for (const line of lines) {
      isOwnNotification(line);
      const parsed = parseMonitorLine(line);
      if (typeof parsed === 'object') checkLine(parsed);
    }
  },
};
