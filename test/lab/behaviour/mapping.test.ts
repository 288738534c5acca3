import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { labTest } from '../kit/lab-test.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';

/** The mapping system between processes, by its real socket. */

const SCRIPT = resolve(import.meta.dirname, '../kit/mapping-node.ts');
const R1 = '10.255.0.1';
const R2 = '10.255.0.2';

interface Status {
  readonly states: readonly { readonly state: string }[];
  readonly counts: readonly Readonly<Record<string, number>>[];
  readonly cache: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly server?: { readonly mappings: number; readonly unacknowledged: number };
}

class Node {
  program!: Program;

  constructor(
    readonly lab: Lab,
    readonly namespace: Namespace,
    readonly rloc: string,
    readonly server: string,
  ) {}

  async start(): Promise<void> {
    const { directory } = this.lab;
    const state = join(directory, this.rloc);
    mkdirSync(state, { recursive: true });
    const keyFile = join(directory, 'keys');
    writeFileSync(keyFile, '1 old\n2 secret\n');
    chmodSync(keyFile, 0o600);
    const argv = [process.execPath, '--import', 'tsx', SCRIPT, this.rloc, this.server, keyFile, state];
    this.program = new Program(this.namespace, argv, { title: this.rloc });
    await this.program.line(/^started$/, 20_000);
  }

  async status(): Promise<Status> {
    const before = this.program.lines.length;
    this.program.write('status\n');
    for (;;) {
      const line = this.program.lines.slice(before).find(({ text }) => text.startsWith('status'));
      if (line !== undefined) return JSON.parse(line.text.slice('status '.length)) as Status;
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  async until(what: string, is: (status: Status) => boolean, timeoutMs = 15_000): Promise<Status> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const status = await this.status();
      if (is(status)) return status;
      assert.ok(Date.now() < end, `${this.rloc}: ${what}: ${JSON.stringify(status)}`);
    }
  }
}

/** A loaded machine answers after it was asked again. */
const onlyOvertaken = ({ drops }: Status) =>
  Object.keys(drops).every((reason) => ['old-nonce', 'subscription-limit'].includes(reason));

labTest(
  'two routers, one of them the map-server: moves, a burst, kill -9 of each',
  async (lab) => {
    const [namespace] = lab.create('mapping') as [Namespace];
    namespace.ip(`address add ${R1}/32 dev lo`, `address add ${R2}/32 dev lo`);
    const one = new Node(lab, namespace, R1, R1);
    const two = new Node(lab, namespace, R2, R1);
    await one.start();
    await two.start();
    await two.until('the server answers', ({ states }) => states[0]?.state === 'up');

    two.program.write('claim 10.1.1.5\n');
    await one.program.line(/^route 10\.1\.1\.5\/32 10\.255\.0\.2$/);
    one.program.write('claim 10.1.1.5\n');
    await two.program.line(/^route 10\.1\.1\.5\/32 10\.255\.0\.1$/);
    await one.program.line(/^route 10\.1\.1\.5\/32 gone$/);
    await two.until('it is told that it lost it', ({ counts }) => counts[0]?.lost === 1);
    two.program.write('claim 2001:db8::5\n');
    await one.program.line(/^route 2001:db8::5\/128 10\.255\.0\.2$/);

    two.program.write('claim 10.1.16.0 10000\n');
    await one.until('a burst arrives', ({ cache }) => cache === 10001, 20_000);
    assert.ok(onlyOvertaken(await two.status()));

    // The server is away; what it knew is in its file, and its nonces go on.
    await one.program.stop('SIGKILL');
    await two.program.line(/^alarm map-server-silent on/, 20_000);
    await one.start();
    await two.program.line(/^alarm map-server-silent over/, 20_000);
    await one.until(
      'it knows all again',
      ({ server, cache }) => server?.mappings === 10002 && cache === 10001,
      20_000,
    );
    await two.until('and all is held', ({ counts }) => counts[0]?.held === 10001, 20_000);
    assert.ok(!two.program.output.includes('route 10.1.1.5/32 gone'));

    await two.program.stop('SIGKILL');
    await two.start();
    two.program.write('claim 10.1.1.5\n');
    await one.program.line(/^route 10\.1\.1\.5\/32 10\.255\.0\.2$/);
    const last = await one.status();
    assert.ok(onlyOvertaken(last), JSON.stringify(last.drops));
  },
  90_000,
);
