import { readFileSync, writeFileSync } from 'node:fs';
import { type Ip, familyOf, formatIp, formatMac } from '../../wire/addresses.js';
import { readLines, runTool } from '../ip/exec.js';
import { type Encapsulation, overheadOf, tunnelMac } from './encapsulation.js';

/** The device of the tunnel: made, found again, changed, removed. */

export interface DeviceState {
  readonly index: number;
  /** Marked as ours by its alias. */
  readonly isOurs: boolean;
  /** Type, port and MAC cannot be changed later: another device has to take its place. */
  readonly isAsWanted: boolean;
  readonly up: boolean;
  readonly mtu: number;
}

/** The kernel refuses the device, or somebody else has one of that name. The message says what to do. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
}

/** An alias that begins like this says that the device is ours to remove. */
function markOf({ protocol }: Encapsulation): string {
  return `marpd protocol ${protocol} instance `;
}

/** `ip -j -d link show` of one device. undefined: there is none. */
export function parseDevice(json: string, tunnel: Encapsulation): DeviceState | undefined {
  const [link] = (json.trim() === '' ? [] : JSON.parse(json)) as {
    ifindex?: number;
    flags?: string[];
    mtu?: number;
    ifalias?: string;
    address?: string;
    linkinfo?: {
      info_kind?: string;
      info_data?: { external?: boolean; vnifilter?: boolean; gpe?: boolean; port?: number };
    };
  }[];
  if (link?.ifindex === undefined) return undefined;
  const data = link.linkinfo?.info_data;
  const isGpe = tunnel.encapsulation === 'vxlan-gpe';
  return {
    index: link.ifindex,
    isOurs: link.ifalias?.startsWith(markOf(tunnel)) === true,
    isAsWanted:
      link.ifalias === `${markOf(tunnel)}${tunnel.vni}` &&
      link.linkinfo?.info_kind === 'vxlan' &&
      data?.external === true &&
      data.vnifilter === true &&
      data.port === tunnel.port &&
      (data.gpe === true) === isGpe &&
      (isGpe || link.address === macOf(tunnel)),
    up: link.flags?.includes('UP') === true,
    mtu: link.mtu ?? 0,
  };
}

function macOf({ rlocs }: Encapsulation): string {
  return formatMac(tunnelMac(rlocs[0] as Ip));
}

/** Rejects when `ip` fails for another reason than that there is no such device. */
export async function readDevice(tunnel: Encapsulation): Promise<DeviceState | undefined> {
  const lines: string[] = [];
  try {
    await readLines('ip', ['-j', '-d', 'link', 'show', 'dev', tunnel.device], (line) => lines.push(line));
  } catch (error) {
    if (/does not exist/.test((error as Error).message)) return undefined;
    throw error;
  }
  return parseDevice(lines.join(''), tunnel);
}

/** The commands that make the device, without the one that sets it up. */
export function deviceCommands(tunnel: Encapsulation, mtu: number): ['ip' | 'bridge', ...string[]][] {
  const { device, encapsulation, port, vni } = tunnel;
  const kind =
    encapsulation === 'vxlan-gpe'
      ? 'type vxlan external gpe vnifilter'
      : `address ${macOf(tunnel)} type vxlan external vnifilter nolearning`;
  return [
    ['ip', 'link', 'add', device, 'mtu', String(mtu), ...kind.split(' '), 'dstport', String(port)],
    ['ip', 'link', 'set', device, 'alias', `${markOf(tunnel)}${vni}`],
    // It needs no address of its own: a packet without an encapsulation is dropped there.
    ['ip', 'link', 'set', device, 'addrgenmode', 'none'],
    // Packets of other instances are dropped (RFC 7348 section 4.1).
    ['bridge', 'vni', 'add', 'vni', String(vni), 'dev', device],
  ];
}

/** @throws TunnelError when the kernel refuses; nothing of the device is left then */
export function createDevice(tunnel: Encapsulation, mtu: number, needsIpv6: boolean): void {
  const { device, port } = tunnel;
  try {
    for (const [tool, ...args] of deviceCommands(tunnel, mtu)) change(tool, args);
    applySettings(device, needsIpv6);
    setDevice(device, 'up');
  } catch (error) {
    const { message } = error as Error;
    if (!message.includes('File exists')) removeDevice(device);
    const cure = message.includes('in use')
      ? `; UDP port ${port} is taken: set [mapping] port to another one on all routers`
      : '';
    throw new TunnelError(`the tunnel ${device} cannot be made: ${message}${cure}`);
  }
}

/** @throws Error with the refusal */
function change(tool: 'ip' | 'bridge', args: readonly string[]): void {
  const { status, stderr } = runTool(tool, args);
  if (status !== 0) throw new Error(stderr.trim() || `${tool} ${args.join(' ')}: status ${status}`);
}

/** `up`, or `mtu 1464`. @throws Error with the refusal */
export function setDevice(device: string, what: string): void {
  change('ip', ['link', 'set', device, ...what.split(' ')]);
}

export function removeDevice(device: string): void {
  runTool('ip', ['link', 'del', device]);
}

/**
 * The reverse path filter at its strictest drops what comes from a host whose way back is another one; the larger of this
 * value and that of `all` counts. A redirect would name a router that the host cannot reach (RFC 1812 section 5.2.7.2).
 */
function applySettings(device: string, needsIpv6: boolean): void {
  const conf = '/proc/sys/net/ipv4/conf';
  const isStrict = readFileSync(`${conf}/all/rp_filter`, 'latin1').trim() === '1';
  writeFileSync(`${conf}/${device}/rp_filter`, isStrict ? '2' : '0');
  writeFileSync(`${conf}/${device}/send_redirects`, '0');
  writeFileSync(`${conf}/${device}/accept_redirects`, '0');
  if (needsIpv6) writeFileSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, '0');
}

/** Of an interface that is not known, as before the first RLOC is. */
const ETHERNET_MTU = 1500;

/**
 * The largest inner packet that fits the interfaces by which these RLOCs are reached; `looped`: those which the tunnel
 * itself leads to. RLOCs without a route say nothing.
 */
export async function measure(
  tunnel: Encapsulation,
  rlocs: readonly Ip[],
): Promise<{ readonly mtu: number; readonly looped: readonly Ip[] }> {
  const looped: Ip[] = [];
  const devices = new Set<string>();
  let underlay = ETHERNET_MTU;
  if (rlocs.length > 0) {
    const questions = rlocs.map((rloc) => `route get ${formatIp(rloc)}\n`).join('');
    const onRoute = (line: string) => {
      const dev = / dev (\S+)/.exec(line)?.[1];
      const rloc = rlocs.find((one) => line.startsWith(`${formatIp(one)} `));
      if (dev === tunnel.device && rloc !== undefined) looped.push(rloc);
      else if (dev !== undefined && dev !== 'lo') devices.add(dev);
    };
    // It also fails when one RLOC of them cannot be reached.
    await readLines('ip', ['-o', '-force', '-batch', '-'], onRoute, questions).catch(() => undefined);
    const mtus: number[] = [];
    const onLink = (line: string) => mtus.push(Number(/ mtu (\d+)/.exec(line)?.[1]));
    for (const device of devices)
      await readLines('ip', ['-o', 'link', 'show', 'dev', device], onLink).catch(() => undefined);
    if (mtus.length > 0) underlay = Math.min(...mtus);
  }
  const overheads = tunnel.rlocs.map((own) => overheadOf(tunnel.encapsulation, familyOf(own)));
  return { mtu: underlay - Math.max(...overheads), looped };
}
