import assert from 'node:assert/strict';
import { parseLink, splitLinks } from '../../../../src/kernel/ip/parse-link.js';
import { LinkTable } from '../../../../src/kernel/watch/links.js';
import { type Target, textOf } from '../../engine/target.js';
import { checkLine } from './dump.js';

/** What `ip -j -d address show` prints. Names, aliases and labels in it are others' text. */

/** As iproute2 writes a string (jsonw_puts in json_writer.c): other control characters stand as they are. */
function asIpPrints(text: string): string {
  const escapes: Readonly<Record<string, string>> = {
    '\t': '\\t',
    '\n': '\\n',
    '\r': '\\r',
    '\f': '\\f',
    '\b': '\\b',
    '\\': '\\\\',
    '"': '\\"',
    "'": "\\'",
  };
  return text.replaceAll('\0', '').replace(/[\t\n\r\f\b\\"']/g, (char) => escapes[char] ?? char);
}

export const target: Target = {
  covers: ['src/kernel/ip/parse-link.ts', 'src/kernel/watch/links.ts'],
  maxBytes: 3000,
  words: [
    '{"ifindex":',
    ',{"ifindex":2',
    '"ifname":"lan0"',
    '"flags":["UP","LOWER_UP"]',
    '"master":"br0"',
    '"addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24}]',
    '\\"',
    "\\'",
    '\\u0000',
    '\u0001',
    ']',
    '[',
  ],
  run(input) {
    const text = textOf(input);
    const elements = splitLinks(text);
    assert.ok(elements.length <= text.length + 1);
    const links = elements.flatMap((element) => parseLink(element) ?? []);
    for (const link of links) {
      checkLine(link);
      for (const prefix of link.addresses) checkLine({ prefix });
    }
    const table = new LinkTable(['ipv4']);
    table.replace(links, 0);
    const indices = new Set(links.map(({ index }) => index));
    assert.deepEqual(new Set([...table.all()].map(({ index }) => index)), indices);
    assert.deepEqual(table.replace([], 0).length, indices.size, 'a dump without them ends them');
    // Whatever the alias is, it makes no other interface.
    const alias = `[{"ifindex":7,"ifname":"lan0","ifalias":"${asIpPrints(text)}"}]`;
    assert.deepEqual(
      splitLinks(alias).map((element) => parseLink(element)?.index),
      [7],
    );
  },
};
