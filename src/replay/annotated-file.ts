import type { IfIndex } from '../mobility/events.js';
import {
  type Direction,
  enhancedPacket,
  interfaceDescription,
  journalExport,
  sectionHeader,
} from '../wire/pcap/pcapng.js';

export interface Named {
  readonly name: string;
  readonly description?: string | undefined;
}

const keyOf = ({ name, description }: Named) => `${name} ${description}`;

/** A pcapng file of packets with comments, and of journal entries; each call returns the bytes to append. */
export class AnnotatedFile {
  private readonly numbers = new Map<string, number>();

  constructor(private readonly application: string) {}

  /** A section begins. editcap refuses one without any interface in front of what follows. */
  header(interfaces: readonly Named[], ...comments: readonly string[]): Uint8Array[] {
    this.numbers.clear();
    const described = interfaces.length > 0 ? interfaces : [{ name: 'none' }];
    described.forEach((on, number) => void this.numbers.set(keyOf(on), number));
    const about = { application: this.application, os: 'Linux', comments };
    return [sectionHeader(about), ...described.map(interfaceDescription)];
  }

  /** An interface that is new is described when its first packet comes. */
  packet(
    on: Named,
    packet: {
      readonly timeNs: bigint;
      readonly bytes: Uint8Array;
      readonly length?: number;
      readonly direction?: Direction | undefined;
      readonly comments?: readonly string[];
      readonly packetId?: bigint | undefined;
    },
  ): Uint8Array[] {
    const key = keyOf(on);
    const known = this.numbers.get(key);
    const number = known ?? this.numbers.size;
    const block = enhancedPacket({ ...packet, interface: number });
    if (known !== undefined) return [block];
    this.numbers.set(key, number);
    return [interfaceDescription(on), block];
  }

  entry(timeNs: bigint, message: string, fields: Readonly<Record<string, string>> = {}): Uint8Array {
    return journalExport(timeNs, {
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'marpd',
      MESSAGE: message,
      ...fields,
    });
  }
}

/** Of an interface whose frames the tracker got; `misdirected`: IPv4 packets of visitors to other MACs. */
export function describeInterface(iface: IfIndex, misdirected: boolean): string {
  return `ifindex ${iface}${misdirected ? ', misdirected packets' : ''}`;
}

export function parseInterfaceDescription(
  text: string | undefined,
): { readonly iface: IfIndex; readonly misdirected: boolean } | undefined {
  const match = /^ifindex (\d+)(, misdirected packets)?$/.exec(text ?? '');
  return match === null ? undefined : { iface: Number(match[1]), misdirected: match[2] !== undefined };
}

/** The daemon's clock when it handled a packet, as the packet's number: the bits of the ms, so that nothing is rounded. */
export function packetIdOf(now: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, now);
  return view.getBigUint64(0);
}

export function clockOf(packetId: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, packetId);
  return view.getFloat64(0);
}
