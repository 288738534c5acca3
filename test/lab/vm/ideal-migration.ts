import type { Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import { HOST, PLACES } from '../routed/places.js';
import type { RoutedSite } from '../routed/routed-site.js';

/**
 * The floor of a live migration: all routes change at the instant when the guest resumes, written by somebody who
 * knows where it is. No marpd, no routing protocol; what is lost is QEMU's downtime and the guest's waking up.
 */
export class IdealMigration {
  readonly #shells = new Map<Namespace, Program>();

  constructor(readonly site: RoutedSite) {
    const { r1, r2, r3 } = site.routers;
    r1.ip('route add 10.2.2.0/24 via 192.0.2.10', 'route add 198.51.100.0/24 via 192.0.2.2');
    r2.ip('route add 10.1.1.0/24 via 192.0.2.9', 'route add 198.51.100.0/24 via 192.0.2.6');
    r3.ip('route add 10.1.1.0/24 via 192.0.2.1', 'route add 10.2.2.0/24 via 192.0.2.5');
    // The guest's gateway and neighbours are answered for, and the guest on the home LAN.
    for (const router of [r1, r2]) {
      router.sysctl({ 'ipv4.conf.all.proxy_arp': 1, 'ipv4.neigh.lan0.proxy_delay': 0 });
    }
    for (const namespace of [r1, r2, r3]) {
      const argv = ['ip', '-force', '-batch', '-'];
      this.#shells.set(namespace, new Program(namespace, argv, { title: 'ip -batch' }));
    }
  }

  /** The guest's neighbour entry on a tap that just came: `replace` of a route alone would have to ask for it. */
  tap(place: 'r1' | 'r2', name: string, mac: string): void {
    this.site.router(place).ip(`neigh replace ${HOST} lladdr ${mac} nud permanent dev ${name}`);
  }

  /** The guest runs at `place`, behind `tap`, from now on. */
  write(place: 'r1' | 'r2', tap: string): void {
    const { r1, r2, r3 } = this.site.routers;
    const route = (via: string) => `route replace ${HOST}/32 ${via}\n`;
    this.#say(r3, route(`via ${PLACES[place].uplink}`));
    this.#say(place === 'r1' ? r1 : r2, route(`dev ${tap} scope link`));
    if (place === 'r1') this.#say(r2, route('via 192.0.2.9'));
    else this.#say(r1, route('via 192.0.2.10'));
  }

  #say(namespace: Namespace, line: string): void {
    this.#shells.get(namespace)?.write(line);
  }
}
