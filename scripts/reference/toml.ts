import { readFileSync } from 'node:fs';

/** config/reference.toml as a table: it is the one place where each key is described. */

export interface Key {
  /** `interface`, `policy.limits` */
  readonly section: string;
  readonly key: string;
  /** As in the file. */
  readonly value: string;
  /** Shown with a "#" before it: it has no default, the value is an example. */
  readonly unset: boolean;
  readonly about: string;
}

export interface Section {
  readonly name: string;
  /** `[[interface]]`: there may be several. */
  readonly repeated: boolean;
  readonly about: string;
  readonly keys: readonly Key[];
}

const FILE = new URL('../../config/reference.toml', import.meta.url);

export function readReference(text = readFileSync(FILE, 'utf8')): readonly Section[] {
  const sections: { name: string; repeated: boolean; about: string; keys: Key[] }[] = [];
  let before: string[] = [];
  let last: { about: string } | undefined;
  for (const line of text.split('\n')) {
    const header = /^#?(\[{1,2})([a-z._]+)\]{1,2}$/.exec(line);
    const key = /^(#?)([a-z_]+) = ((?:"[^"]*"|\[[^\]]*\]|[^#])+?)\s*(?:# ?(.*))?$/.exec(line);
    const continued = /^\s{8,}# ?(.*)$/.exec(line);
    if (header !== null) {
      const [, brackets, name = ''] = header;
      sections.push({ name, repeated: brackets === '[[', about: before.join(' '), keys: [] });
      before = [];
      last = undefined;
    } else if (key !== null) {
      const [, unset, name = '', value = '', comment = ''] = key;
      const section = sections.at(-1);
      if (section === undefined) throw new Error(`${name} stands before the first section`);
      const entry = {
        section: section.name,
        key: name,
        value,
        unset: unset === '#',
        about: [...before, comment].filter((part) => part !== '').join(' '),
      };
      section.keys.push(entry);
      before = [];
      last = entry;
    } else if (continued !== null && last !== undefined) last.about = `${last.about} ${continued[1]}`;
    else if (line.startsWith('# ')) before.push(line.slice(2));
    else before = [];
  }
  return sections;
}
