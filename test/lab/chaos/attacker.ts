import { mulberry32 } from '../../random.js';
import { type Frames, macFor } from '../kit/host.js';
import type { Site } from '../kit/site.js';

/** A station on one LAN that forges, clones, shouts and floods in the names of hosts, on its own LAN and on others. */

const MAC = '06:66:00:00:00:66';
const GATEWAYS = ['10.3.3.1', '10.1.1.1', '10.2.2.1'];
const SHOUTS = 300;

export class Attacker {
  /** When the present attack is over; undefined while there is none. */
  #until: number | undefined;
  #victims: { readonly ip: string; readonly mac: string }[] = [];

  private constructor(
    readonly lan: string,
    private readonly frames: Frames,
    private readonly random: () => number,
  ) {}

  static async start(site: Site, lan: string, random: () => number): Promise<Attacker> {
    // Its own address is none that policy allows.
    const host = site.host(`foe-${lan}`, { address: '10.66.66.66/24', gateway: '10.66.66.1', mac: MAC });
    host.cable.plug(lan);
    await host.carrier();
    return new Attacker(lan, await host.frames(), mulberry32(Math.floor(random() * 2 ** 31)));
  }

  /** Answers for the address from now on: from its own MAC, or from that of the victim. */
  impersonate(ip: string, clone: boolean): void {
    const mac = clone ? macFor(ip) : MAC;
    this.frames.answer(ip, 1, mac);
    this.#victims.push({ ip, mac });
  }

  /** In the names of all whom it impersonates. */
  announce(): void {
    for (const { ip, mac } of this.#victims) {
      if (this.random() < 0.5) this.frames.gratuitous(ip, mac);
      else this.frames.gratuitousReply(ip, mac);
    }
  }

  /** One attack of any kind; it ends by endWhenOver(). */
  attack(ip: string, ms: number): void {
    this.#until = performance.now() + ms;
    const pick = <T>(from: readonly T[]): T => from[Math.floor(this.random() * from.length)] as T;
    const invented = () => `06:00:00:00:00:${hexByte(this.random())}`;
    const { frames } = this;
    switch (Math.floor(this.random() * 7)) {
      case 0: // a forger that answers
      case 1: // a clone that answers
        this.impersonate(ip, this.random() < 0.5);
        return this.announce();
      case 2: // another router
        frames.answer(pick(GATEWAYS), 1, MAC);
        return frames.gratuitous(pick(GATEWAYS), MAC);
      case 3: // the address with many MACs
        for (let i = 0; i < SHOUTS; i++) frames.gratuitous(ip, invented());
        return;
      case 4: // the MAC with many addresses
        for (let i = 0; i < SHOUTS; i++) frames.gratuitous(`10.3.3.${i % 250}`, macFor(ip));
        return;
      case 5: // probes of RFC 5227, which claim nothing
        for (let i = 0; i < SHOUTS; i++) frames.request('0.0.0.0', invented(), ip);
        return;
      default: // RARP
        for (let i = 0; i < SHOUTS; i++) frames.rarp(this.random() < 0.5 ? macFor(ip) : invented());
    }
  }

  endWhenOver(): void {
    if (this.#until !== undefined && performance.now() > this.#until) this.end();
  }

  end(): void {
    this.#until = undefined;
    this.#victims = [];
    this.frames.mute();
  }
}

function hexByte(random: number): string {
  return Math.floor(random * 256)
    .toString(16)
    .padStart(2, '0');
}
