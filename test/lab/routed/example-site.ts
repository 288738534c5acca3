import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { Switch } from '../kit/host.js';
import { Marpd, type MarpdConfig } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { makeEngine } from './engines.js';
import { ifup } from './interfaces-file.js';

const CONFIG = join(import.meta.dirname, '../../../config');

/** Two routers side by side, each with a LAN, with the files that an example of the docs has for them. */
export class ExampleSite {
  readonly network: Switch;
  readonly r1: Namespace;
  readonly r2: Namespace;
  readonly marpds = new Map<string, Marpd>();

  /** @param edit changes the text of each file before it is read; by default they are used as they are */
  constructor(
    lab: Lab,
    private readonly example: 'two-routers' | 'virtual-subnet',
    private readonly edit = (text: string) => text,
  ) {
    this.network = new Switch(lab, ['net1', 'net2']);
    [this.r1, this.r2] = lab.create('r1', 'r2') as [Namespace, Namespace];
    lab.link(this.r1, 'core0', this.r2, 'core0');
    this.network.connect(this.r1, 'lan0', 'net1');
    this.network.connect(this.r2, 'lan0', 'net2');
  }

  async start(): Promise<this> {
    for (const router of [this.r1, this.r2]) {
      ifup(router, this.#read(router.role, 'interfaces'));
      await makeEngine('frr-ospf', router, this.#read(router.role, 'frr.conf')).start();
      const config = parse(this.#read(router.role, 'marpd.toml')) as MarpdConfig;
      // The socket is the fixture's; everything else is the file's.
      this.marpds.set(router.role, await new Marpd(router, { ...config, control: {} }).start('lan0'));
    }
    return this;
  }

  #read(role: string, name: string): string {
    return this.edit(readFileSync(join(CONFIG, this.example, role, name), 'utf8'));
  }
}
