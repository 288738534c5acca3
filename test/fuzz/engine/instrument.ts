import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { type AnyNode, type Node, parse } from 'acorn';
import { transformSync } from 'esbuild';

/**
 * A copy of our own modules in which every branch of src/ counts how often it was taken. The copy is plain JavaScript in
 * a folder with the same layout, so relative imports, and packages of node_modules, are found as in the original.
 *
 * The inspector counts blocks as well (Profiler.startPreciseCoverage), but reading its counts takes a millisecond, which
 * is too long for one input.
 */

/** Where the copies find their counters: a Uint8Array as long as `points`. */
export const COUNTERS = 'marpdFuzzCounters';

export interface Instrumented {
  readonly directory: string;
  /** Number of counters. */
  readonly points: number;
  /** Of each counter, the file below the root that it stands in. */
  readonly fileOf: readonly string[];
  /** Strings of the instrumented code, from which a mutation may draw, by file. */
  readonly words: ReadonlyMap<string, readonly string[]>;
}

/** Copies what the modules in `entries` (paths below `root`) import from one another. */
export function instrument(root: string, entries: readonly string[], directory: string): Instrumented {
  const fileOf: string[] = [];
  const words = new Map<string, readonly string[]>();
  const seen = new Set<string>();
  const queue = entries.map((entry) => resolve(root, entry));
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const name = relative(root, path);
    const { code } = transformSync(readFileSync(path, 'utf8'), {
      loader: 'ts',
      target: 'node20',
      format: 'esm',
    });
    const tree = parse(code, { ecmaVersion: 'latest', sourceType: 'module' });
    for (const imported of importsOf(tree)) {
      if (imported.startsWith('.')) queue.push(resolve(dirname(path), imported.replace(/\.js$/, '.ts')));
    }
    let text = code;
    if (name.startsWith('src/')) {
      const found = new Set<string>();
      text = withCounters(code, tree, () => fileOf.push(name) - 1, found);
      words.set(name, [...found]);
    }
    const target = join(directory, name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  return { directory, points: fileOf.length, fileOf, words };
}

function importsOf(tree: Node): string[] {
  const found: string[] = [];
  walk(tree, (node) => {
    if ('source' in node && node.source?.type === 'Literal') found.push(String(node.source.value));
  });
  return found;
}

function withCounters(code: string, tree: Node, next: () => number, words: Set<string>): string {
  const inserted: { readonly at: number; readonly text: string; readonly closes: boolean }[] = [];
  const insert = (at: number, text: string, closes = false) => inserted.push({ at, text, closes });
  const count = () => `__c[${next()}]++`;
  const statement = (body: AnyNode) => {
    if (body.type === 'BlockStatement') {
      insert(body.start + 1, `${count()};`);
    } else {
      insert(body.start, `{${count()};`);
      insert(body.end, '}', true);
    }
  };
  const expression = (value: AnyNode) => {
    insert(value.start, `(${count()},`);
    insert(value.end, ')', true);
  };
  walk(tree, (node) => {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'FunctionExpression':
        statement(node.body);
        return;
      case 'ArrowFunctionExpression':
        if (node.body.type === 'BlockStatement') statement(node.body);
        else expression(node.body);
        return;
      case 'IfStatement':
        if (node.alternate) statement(node.alternate);
        else insert(node.end, `else ${count()};`, true);
        statement(node.consequent);
        return;
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
      case 'WhileStatement':
      case 'DoWhileStatement':
        statement(node.body);
        return;
      case 'SwitchCase':
        insert(code.indexOf(':', node.test?.end ?? node.start) + 1, `${count()};`);
        return;
      case 'CatchClause':
        statement(node.body);
        return;
      case 'ConditionalExpression':
        expression(node.consequent);
        expression(node.alternate);
        return;
      case 'LogicalExpression':
        expression(node.right);
        return;
      case 'Literal':
        if (typeof node.value === 'string' && node.value.length <= 40) words.add(node.value);
        return;
      case 'TemplateElement':
        if ((node.value.cooked ?? '').length <= 40) words.add(node.value.cooked ?? '');
        return;
    }
  });
  words.delete('');
  // At one place, what closes an inner node stands before what closes an outer one, and before what opens the next.
  const sorted = inserted
    .map((each, order) => ({ ...each, order }))
    .sort(
      (a, b) =>
        a.at - b.at ||
        Number(b.closes) - Number(a.closes) ||
        (a.closes ? b.order - a.order : a.order - b.order),
    );
  let text = `const __c = globalThis.${COUNTERS};`;
  let from = 0;
  for (const { at, text: added } of sorted) {
    text += code.slice(from, at) + added;
    from = at;
  }
  return text + code.slice(from);
}

/** Every node, parents first. */
function walk(node: Node, visit: (node: AnyNode) => void): void {
  visit(node as AnyNode);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child !== null && typeof child === 'object' && typeof child.type === 'string')
        walk(child as Node, visit);
    }
  }
}
