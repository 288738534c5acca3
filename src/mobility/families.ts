import type { Family } from '../wire/addresses.js';
import { arpDriver } from './arp/driver.js';
import { ndDriver } from './nd/driver.js';
import type { FamilyDriver } from './neighbour/driver.js';

const DRIVERS: Readonly<Record<Family, FamilyDriver>> = { ipv4: arpDriver, ipv6: ndDriver };

/** The neighbour protocol of each of these address families. */
export function driversOf(families: readonly Family[]): readonly FamilyDriver[] {
  return families.map((family) => DRIVERS[family]);
}
