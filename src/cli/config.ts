import { readFileSync } from 'node:fs';
import { parse, stringify } from 'smol-toml';
import type { ConfigView } from '../control/schemas.js';

type Table = Record<string, unknown>;

const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The configuration in force; with `defaults` also the keys that are not set, from config/reference.toml. */
export function effectiveConfig(view: ConfigView, defaults: boolean | undefined): ConfigView {
  if (defaults !== true) return view;
  const reference = parse(readFileSync(new URL('../../config/reference.toml', import.meta.url), 'utf8'));
  // Its interface and its subnet are examples, not defaults.
  const { interface: _interface, subnet: _subnet, ...rest } = reference;
  const values = merge(rest, view.values);
  derive(values, view.values);
  return { ...view, values };
}

function merge(defaults: Table, given: Table): Table {
  const merged: Table = { ...defaults };
  for (const [key, value] of Object.entries(given)) {
    const before = merged[key];
    merged[key] = isTable(before) && isTable(value) ? merge(before, value) : value;
  }
  return merged;
}

/** Defaults that follow from other keys: where config/reference.toml shows a value, it is that of its own example. */
function derive(values: Table, given: Table): void {
  const at = (table: Table, section: string) => (isTable(table[section]) ? (table[section] as Table) : {});
  const [router, timers] = [at(values, 'router'), at(values, 'timers')];
  if (at(given, 'router').settled_table === undefined) router.settled_table = router.table;
  if (at(given, 'router').state_directory === undefined)
    router.state_directory = String(at(values, 'control').socket).replace(/\/[^/]*$/, '') || '/';
  // Three times the keepalive: left to the daemon.
  if (at(given, 'timers').hold === undefined && at(given, 'timers').keepalive !== undefined)
    delete timers.hold;
}

export function formatConfig({ path, values, needsRestart }: ConfigView): string {
  const origin = path === null ? '# from arguments (--interface)' : `# from ${path}`;
  const waiting = needsRestart.length === 0 ? '' : `# restart required for: ${needsRestart.join(', ')}\n`;
  return `${origin}\n${waiting}${stringify(values)}`;
}
