import { Stream } from '../routed/gauges.js';
import { Host } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import type { Program } from '../kit/program.js';
import type { RoutedSite } from '../routed/routed-site.js';
import { formatIp, formatMac } from '../../../src/wire/addresses.js';
import { FIRST_HOP, routerAt } from './names.js';
import {
  type Announce,
  type ArpIgnore,
  type ForgeOptions,
  type HostSpec,
  type LanName,
  LANS,
  type Layout,
} from '../../scenario/world.js';

/** The forger's own address, which is of no interest to anybody: what it says for others it says by raw frames. */
const NOBODY = { address: '198.18.0.1/24', gateway: '198.18.0.2' };

/** Somebody with a cable: one of the cast or a duplicate, with a kernel's stack, or a forger that only has frames. */
export class LabHost {
  /** When its cable was moved; ns, between these two it was nowhere. */
  readonly cableMoves: { readonly from: number; readonly to: number }[] = [];
  lan: LanName | undefined;
  #echo: Promise<Program> | undefined;

  private constructor(
    readonly site: RoutedSite,
    readonly layout: Layout,
    readonly host: Host,
    /** What it claims to be, and whom it asks by an ARP for its gateway. */
    readonly says: { readonly ip: string; readonly mac: string; readonly gateway: string },
    /** What its card hears; a forger's is nobody's business. */
    readonly ears: Capture | undefined,
    private readonly forges: boolean,
  ) {}

  static async join(site: RoutedSite, layout: Layout, role: string, spec: HostSpec): Promise<LabHost> {
    const [ip, gateway, mac] = [formatIp(spec.ip), formatIp(spec.gateway), formatMac(spec.mac)];
    const host = new Host(site.network, role, { address: `${ip}/${spec.prefixLength}`, gateway, mac });
    const ears = await Capture.start(host.namespace, 'eth0', 'arp');
    await host.frames();
    return new LabHost(site, layout, host, { ip, mac, gateway }, ears, false);
  }

  /** Lives with an address that is another's. It answers no echo: an answer shall be the other's. */
  static async double(site: RoutedSite, layout: Layout, role: string, spec: HostSpec): Promise<LabHost> {
    const labHost = await LabHost.join(site, layout, role, spec);
    labHost.host.namespace.sysctl({ 'ipv4.icmp_echo_ignore_all': 1 });
    return labHost;
  }

  static async forger(
    site: RoutedSite,
    layout: Layout,
    role: string,
    lan: LanName,
    own: string,
    victim: HostSpec,
    options: ForgeOptions,
  ): Promise<LabHost> {
    const host = new Host(site.network, role, { ...NOBODY, mac: own });
    const ip = formatIp(victim.ip);
    const mac = options.mac === undefined ? own : formatMac(options.mac);
    const frames = await host.frames();
    if (options.answers) frames.answer(ip, 1, mac);
    return new LabHost(
      site,
      layout,
      host,
      { ip, mac, gateway: formatIp(LANS[lan].gateway) },
      undefined,
      true,
    );
  }

  async plug(lan: LanName, how: Announce, carrierDrop: boolean): Promise<void> {
    const router = FIRST_HOP[routerAt(this.layout, lan)];
    // Only the frame of an ordinary host goes with the cable, with nothing in between.
    const atOnce = how === 'gratuitous-request' && !this.forges;
    const says = atOnce ? 'request' : 'silent';
    const { before, spoke } = await this.site.move(this.host, router, { carrierDrop, says });
    this.cableMoves.push({ from: before, to: spoke });
    this.lan = lan;
    if (atOnce || how === 'silent') return;
    await this.host.cable.forwards();
    await this.announce(how);
  }

  async unplug(): Promise<void> {
    if (this.lan === undefined) return;
    const { before } = await this.site.unplug(this.host);
    this.cableMoves.push({ from: before, to: Number.POSITIVE_INFINITY });
    this.lan = undefined;
  }

  async announce(how: Announce): Promise<void> {
    const { ip, mac, gateway } = this.says;
    const frames = await this.host.frames();
    switch (how) {
      case 'gratuitous-request':
        frames.gratuitous(ip, mac);
        break;
      case 'gratuitous-reply':
        frames.gratuitousReply(ip, mac);
        break;
      case 'arp-gateway':
        if (this.forges) frames.request(ip, mac, gateway);
        else this.#askForGateway();
        break;
      case 'silent':
        break;
      default:
        throw new Error(`no host of the real world announces itself by ${how}`);
    }
    await frames.flushed();
  }

  /** A host that is off keeps its port: the switch passes nothing to it and nothing of it. */
  power(on: boolean): void {
    const { namespace, port } = this.host.cable;
    namespace.exec('bridge', 'link', 'set', 'dev', port, 'state', on ? '3' : '0');
  }

  arpIgnore(value: ArpIgnore): void {
    this.host.namespace.sysctl({ 'ipv4.conf.eth0.arp_ignore': value });
  }

  /** RFC 5227 section 2.4: frames with our address from another MAC, heard since (ms since 1970). */
  conflicts(since: number): number {
    const { ears } = this;
    if (ears === undefined) throw new Error('nobody notes what a forger hears');
    return ears.arps({ senderIp: this.says.ip }, since).filter(({ senderMac }) => senderMac !== this.says.mac)
      .length;
  }

  /** Its answers to the numbered datagrams of a stream. */
  async answersStreams(): Promise<void> {
    this.#echo ??= Stream.echo(this.host.namespace);
    await this.#echo;
  }

  /** As in the beginning of a scenario, in no LAN. */
  async backToStart(): Promise<void> {
    await this.unplug();
    this.arpIgnore(0);
  }

  /** Gone for good; its namespace stays until the lab goes. */
  async leave(): Promise<void> {
    await this.unplug();
    const frames = await this.host.frames();
    await frames.program.stop('SIGKILL');
    await this.ears?.stop();
  }

  // The kernel asks, so that it is the kernel that believes the answer.
  #askForGateway(): void {
    const { namespace, gateway } = this.host;
    namespace.ipQuietly(`neigh del ${gateway} dev eth0`);
    namespace.status('ping', '-n', '-q', '-c', '1', '-W', '0.05', gateway);
  }
}
