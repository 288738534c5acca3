import { formatIp, formatMac } from '../../../src/wire/addresses.js';
import { ARP_REQUEST, decodeArp } from '../../../src/wire/arp.js';
import { decodeEthernet, ETHER_TYPE_IPV6 } from '../../../src/wire/ethernet.js';
import { ICMPV6 } from '../../../src/wire/icmpv6.js';
import { decodeMldReport } from '../../../src/wire/mld.js';
import { decodeNd } from '../../../src/wire/nd.js';

/** A frame of a neighbour protocol in words, for whoever reads why a scenario failed. */
export function inWords(bytes: Uint8Array): string {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined) return 'truncated';
  const from = `${formatMac(ethernet.source)} > ${formatMac(ethernet.destination)}`;
  return `${from} ${ethernet.etherType === ETHER_TYPE_IPV6 ? ndInWords(bytes) : arpInWords(bytes)}`;
}

function arpInWords(bytes: Uint8Array): string {
  const frame = decodeArp(bytes);
  if (typeof frame === 'string') return frame;
  const what = frame.opcode === ARP_REQUEST ? 'who-has' : 'is-at';
  return `${what} ${formatIp(frame.senderIp)} -> ${formatIp(frame.targetIp)}`;
}

function ndInWords(bytes: Uint8Array): string {
  const report = decodeMldReport(bytes);
  if (typeof report !== 'string') return `MLD report ${report.groups.map(formatIp).join(', ')}`;
  const frame = decodeNd(bytes);
  if (typeof frame === 'string') return frame;
  const who = `${formatIp(frame.sourceIp)} -> ${formatIp(frame.destinationIp)}`;
  const mac = frame.linkLayerAddress === undefined ? '' : ` ${formatMac(frame.linkLayerAddress)}`;
  switch (frame.type) {
    case ICMPV6.neighbourSolicitation:
      return `NS ${formatIp(frame.targetIp)}${mac}, ${who}`;
    case ICMPV6.neighbourAdvertisement: {
      const flags = `${frame.isRouter ? 'R' : ''}${frame.isSolicited ? 'S' : ''}${frame.isOverride ? 'O' : ''}`;
      return `NA ${formatIp(frame.targetIp)}${mac} ${flags}, ${who}`;
    }
    default:
      return `${frame.type === ICMPV6.routerSolicitation ? 'RS' : 'RA'}${mac}, ${who}`;
  }
}
