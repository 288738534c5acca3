// An uplink whose default route comes by router advertisement (RFC 4861 section 4.2), in the network namespace of the test.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ip } from './private-net.js';

const SOURCE = 'fe800000000000000000000000000099';
const ALL_NODES = 'ff020000000000000000000000000001';
const LIFETIME_S = 1800;

/** A cable `NAME`, far end `NAME-far`, on which a router at fe80::99 advertises itself when it is told to. */
export class AdvertisedUplink {
  readonly #directory = mkdtempSync(join(tmpdir(), 'marpd-uplink-'));
  readonly #send = join(this.#directory, 'arpwire');

  constructor(readonly name: string) {
    const source = fileURLToPath(new URL('arpwire.c', import.meta.url));
    execFileSync('cc', ['-O2', '-o', this.#send, source]);
    ip(`link add ${name} type veth peer name ${name}-far`);
    for (const end of [name, `${name}-far`]) ip(`link set ${end} up`);
  }

  advertise(): void {
    execFileSync(this.#send, ['raw', `${this.name}-far`, routerAdvertisement()]);
  }

  remove(): void {
    ip(`link del ${this.name}`);
    rmSync(this.#directory, { recursive: true });
  }
}

/** Ethernet and IPv6 header, and an advertisement without options, in hexadecimal. */
function routerAdvertisement(): string {
  const body = `8600CCCC4000${hex(LIFETIME_S)}0000000000000000`;
  const pseudoHeader = `${SOURCE}${ALL_NODES}0000${hex(body.length / 2)}0000003a`;
  let sum = 0;
  for (const word of `${pseudoHeader}${body.replace('CCCC', '0000')}`.match(/.{4}/g) ?? [])
    sum += Number.parseInt(word, 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const header = `60000000${hex(body.length / 2)}3aff${SOURCE}${ALL_NODES}`;
  return `33330000000102000000009986dd${header}${body.replace('CCCC', hex(0xffff - sum))}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(4, '0');
}
