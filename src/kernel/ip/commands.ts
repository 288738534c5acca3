import { type Family, type Ip, formatIp, formatMac, hostLength, isIpv4 } from '../../wire/addresses.js';
import { type LooseStep, STUCK_ROUTE_REPAIR, type Slot, type Slots, type Step } from '../claims/plan.js';

/**
 * The line for `ip -batch` that carries out a step. The address says of which family it is: options such as -6 are not
 * understood there.
 *
 * The neighbour entry is permanent and extern_learn: a forged ARP cannot overwrite it, it does not age and does not
 * count against the kernel's limit. With our protocol number it is distinguished from those of others.
 * @throws Error for a device name that could break the line; the kernel allows such names, marpd does not
 */
export function commandFor(step: Step | LooseStep, ip: Ip, slots: Slots): string {
  switch (step.op) {
    case 'set-neighbour': {
      const { dev, mac } = step.claim;
      return `neigh replace ${formatIp(ip)} lladdr ${formatMac(mac)} dev ${deviceWord(dev)} nud permanent extern_learn protocol ${slots.protocol}`;
    }
    case 'drop-neighbour':
      return `neigh del ${formatIp(ip)} dev ${deviceWord(step.claim.dev)}`;
    case 'add-route':
    case 'replace-route': {
      const verb = step.op === 'add-route' ? 'add' : 'replace';
      const where =
        step.occupant === STUCK_ROUTE_REPAIR
          ? ''
          : ` dev ${deviceWord(step.occupant.dev)}${isIpv4(ip) ? ' scope link' : ''}`;
      const type = step.occupant === STUCK_ROUTE_REPAIR ? 'blackhole ' : '';
      return `route ${verb} ${type}${hostRoute(ip)}${where}${routeIdentity(slots.protocol, slots[step.age])}`;
    }
    case 'drop-route':
      return dropRouteCommand(ip, slots.protocol, slots[step.age]);
    case 'drop-orphaned-route':
      return dropRouteCommand(ip, slots.protocol, step.slot);
    case 'forget-neighbour':
      // Not `neigh del`, which ends the process when there is no such entry. A failed entry is resolved anew by the next
      // packet.
      return `neigh replace ${formatIp(ip)} dev ${deviceWord(step.device.dev)} nud failed`;
  }
}

/** Protocol, metric and table are enough: no device, which may be gone or have another name. */
function dropRouteCommand(ip: Ip, protocol: number, slot: Slot): string {
  return `route del ${hostRoute(ip)}${routeIdentity(protocol, slot)}`;
}

/**
 * No such route can exist. Sent first, it makes `ip` read its tables of names, and shows whether we may change routes.
 */
export function warmUpCommand(protocol: number, { table, metric }: Slot, family: Family): string {
  const host = family === 'ipv4' ? '0.0.0.0/32' : '::/128';
  return `route del ${host} dev lo scope link proto ${protocol} metric ${metric} table ${table}`;
}

function hostRoute(ip: Ip): string {
  return `${formatIp(ip)}/${hostLength(ip)}`;
}

function routeIdentity(protocol: number, slot: Slot): string {
  return ` proto ${protocol} metric ${slot.metric} table ${slot.table}`;
}

/** Printable, and nothing that `ip -batch` treats as quote, comment, escape or blank. */
export function isPlainDeviceName(dev: string): boolean {
  return /^[\x21-\x7e]{1,15}$/.test(dev) && !/["'#\\/]/.test(dev);
}

function deviceWord(dev: string): string {
  if (!isPlainDeviceName(dev))
    throw new Error(`device name ${JSON.stringify(dev)} cannot be given to ip -batch`);
  return dev;
}
