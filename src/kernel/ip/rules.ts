import type { Family } from '../../wire/addresses.js';
import { optionOf, runTool } from './exec.js';
import { MAIN_TABLE, numeral } from './parse-route.js';

export interface RuleTables {
  /** Families whose packets are looked up that way; IPv4 alone when left out. */
  readonly families?: readonly Family[];
  readonly protocol: number;
  readonly freshTable: number;
  readonly settledTable: number;
  /** Where routing protocols put remote claims. */
  readonly watchTables: readonly number[];
}

/** One `ip rule`. `hostOnly`: only host routes of the table count, the rest is looked up later. */
export interface LookupRule {
  readonly priority: number;
  readonly table: number;
  readonly hostOnly: boolean;
}

/** Below main (32766), so that a less specific route there, a default route even, does not hide a claim. */
const FIRST_PRIORITY = 32_000;

/**
 * The rules that make the kernel look up fresh, remote, settled in this order (design.md 3.3). Within one table the
 * metrics order them; none are needed when all is in main. Main in between is asked for its host routes only: its
 * connected and default routes come last, where they were.
 * @throws Error when the tables cannot be ordered that way
 */
export function planRules(tables: RuleTables): LookupRule[] {
  const order: number[] = [];
  for (const table of [tables.freshTable, ...tables.watchTables, tables.settledTable]) {
    if (order.at(-1) === table) continue;
    if (order.includes(table)) {
      throw new Error(`routing table ${table} would have to be asked before and after another one`);
    }
    order.push(table);
  }
  if (order.length === 1 && order[0] === MAIN_TABLE) return [];
  return order.map((table, at) => ({
    priority: FIRST_PRIORITY + at,
    table,
    hostOnly: table === MAIN_TABLE,
  }));
}

/** The longest prefix that is none of one host. */
const SHORTER_THAN_HOST: Readonly<Record<Family, number>> = { ipv4: 31, ipv6: 127 };

/** The rules that marpd needs, marked with its protocol number. Rules of others are left alone. */
export class Rules {
  readonly #protocol: number;
  readonly #families: readonly Family[];
  readonly #planned: readonly LookupRule[];
  readonly #onWarning: (message: string) => void;

  /** @throws Error when the tables cannot be ordered */
  constructor(tables: RuleTables, onWarning: (message: string) => void) {
    this.#protocol = tables.protocol;
    this.#families = tables.families ?? ['ipv4'];
    this.#planned = planRules(tables);
    this.#onWarning = onWarning;
  }

  /** Adds what is missing and removes what a crashed run with another configuration left. */
  apply(): void {
    for (const family of this.#families) {
      const present = this.#present(family);
      for (const rule of this.#planned) {
        if (!present.some((other) => sameRule(other, rule))) this.#run('add', rule, family);
      }
      for (const rule of present) {
        if (!this.#planned.some((wanted) => sameRule(wanted, rule))) this.#run('del', rule, family);
      }
    }
  }

  /** Removes every rule of ours. */
  remove(): void {
    for (const family of this.#families)
      for (const rule of this.#present(family)) this.#run('del', rule, family);
  }

  #present(family: Family): LookupRule[] {
    const { status, stdout, stderr } = runTool('ip', ['-j', '-N', optionOf(family), 'rule', 'show']);
    if (status !== 0) {
      this.#onWarning(`ip rule: ${stderr.trim()}`);
      return [];
    }
    return parseRules(stdout, this.#protocol, family);
  }

  #run(verb: 'add' | 'del', rule: LookupRule, family: Family): void {
    const limit = rule.hostOnly ? ['suppress_prefixlength', String(SHORTER_THAN_HOST[family])] : [];
    const { status, stderr } = runTool('ip', [
      ...[optionOf(family), 'rule', verb, 'priority', String(rule.priority), 'lookup', String(rule.table)],
      ...limit,
      ...['protocol', String(this.#protocol)],
    ]);
    if (status !== 0) this.#onWarning(`ip rule ${verb} lookup ${rule.table}: ${stderr.trim()}`);
  }
}

function sameRule(a: LookupRule, b: LookupRule): boolean {
  return a.priority === b.priority && a.table === b.table && a.hostOnly === b.hostOnly;
}

/** The rules with our protocol number in the output of `ip -j -N rule show`. */
export function parseRules(json: string, protocol: number, family: Family = 'ipv4'): LookupRule[] {
  const rows: unknown = JSON.parse(json === '' ? '[]' : json);
  if (!Array.isArray(rows)) return [];
  return (rows as readonly (Readonly<Record<string, unknown>> | null)[])
    .filter((row) => Number(row?.protocol) === protocol)
    .map((row) => ({
      priority: numeral(String(row?.priority)),
      table: numeral(String(row?.table)),
      hostOnly: row?.suppress_prefixlen === SHORTER_THAN_HOST[family],
    }))
    .filter(({ priority, table }) => priority >= 0 && table >= 0);
}
