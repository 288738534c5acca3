import type { Config } from '../config/config.js';
import type { AlarmKind } from '../mobility/events.js';
import { isLinkLocal, parseIp } from '../wire/addresses.js';
import { type DaemonView, type Facts, type Finding, error, ok, warning } from './finding.js';

/** Checks of what the running daemon says of itself. */

const NEEDED_CAPABILITIES = ['cap_net_admin', 'cap_net_raw'] as const;

export function checkDaemon(
  facts: Facts,
  daemon: DaemonView | undefined,
  unreachableReason: string,
): Finding[] {
  if (daemon === undefined) {
    return [warning('daemon', `${unreachableReason}; only the machine is checked`, 'systemctl start marpd')];
  }
  const findings = [ok('daemon', 'marpd is running')];
  const held = facts.capabilities;
  if (held === undefined) return findings;
  const missing = NEEDED_CAPABILITIES.filter((name) => !held.has(name)).map((name) => name.toUpperCase());
  findings.push(
    missing.length === 0
      ? ok('capabilities', 'marpd holds CAP_NET_ADMIN and CAP_NET_RAW')
      : error(
          'capabilities',
          `marpd lacks ${missing.join(' and ')}`,
          `run it as root, or give its unit AmbientCapabilities=${missing.join(' ')}`,
        ),
  );
  return findings;
}

export function checkCapture(daemon: DaemonView): Finding[] {
  return daemon.interfaces
    .filter((view) => view.present && view.up && view.master === null)
    .map(({ name, capturing, reason }) => {
      if (capturing) return ok('capture', `${name} is captured`);
      const fix = 'journalctl -u marpd';
      if (reason === null) return warning('capture', `the capture of ${name} is still being opened`, fix);
      return error('capture', `${name} is not captured: ${reason}`, fix);
    });
}

const ALARM_FIXES: Readonly<Record<AlarmKind, (ip: string) => string>> = {
  'other-router': () =>
    'if it is a second first-hop router of this LAN, set role on the [[interface]] of both; otherwise remove the gateway address from it',
  'two-speakers': () =>
    'find out why both have the gateway address: VRRP advertisements that do not arrive, or a router whose VRRP daemon was killed',
  duplicate: (ip) => `give one of the two hosts another address (marpctl why ${ip})`,
  frozen: (ip) => `find the second host (marpctl why ${ip}), then: marpctl clear ${ip}`,
  'proxy-arp': () => 'disable proxy ARP on that machine',
  'newcomer-storm': () =>
    'find the sender (marpctl drops); raise policy.limits.newcomer_burst if it is legitimate',
  'setting-changed': () =>
    'find the program that sets it: grep -rsw -e ipv4 -e ipv6 /etc/sysctl.conf /etc/sysctl.d',
  'mac-limit': () => 'raise policy.limits.addresses_per_mac if it is legitimate',
};

/** Other routers of this moment are errors; what was only so once is not. */
export function checkAlarms({ alarms, otherRouters }: DaemonView, config?: Config): Finding[] {
  const now = otherRouters.map(({ mac, ip, interface: lan }) =>
    isForeignAdvertiser(ip, config)
      ? error(
          'other-router',
          `${mac} on ${lan} advertises itself as a router from ${ip}: hosts may take it for their default router`,
          `find it, and let the switch drop what it sends (RFC 6105); if it is a second first-hop router of this LAN, set role on the [[interface]] of both`,
        )
      : error(
          'other-router',
          `${mac} on ${lan} uses the gateway address ${ip}, so marpd does not answer for it there`,
          ALARM_FIXES['other-router'](ip),
        ),
  );
  const past = alarms
    .filter((alarm) => !otherRouters.some((router) => isOf(alarm, router)))
    .map((alarm) => {
      const parties = [alarm.ip, alarm.mac, alarm.interface].filter((part) => part !== null).join(', ');
      const message = `${alarm.message}${parties === '' ? '' : ` (${parties})`}`;
      return warning(alarm.alarm, message, ALARM_FIXES[alarm.alarm](alarm.ip ?? 'IP'));
    });
  return [...now, ...past];
}

/** Only who sends router advertisements is another router without having the address of a gateway. */
function isForeignAdvertiser(text: string, config: Config | undefined): boolean {
  const ip = parseIp(text);
  if (config === undefined || ip === undefined || !isLinkLocal(ip)) return false;
  const { subnets } = config.policy;
  return subnets.length > 0 && !subnets.some(({ gateways }) => gateways.includes(ip));
}

function isOf(
  alarm: DaemonView['alarms'][number],
  { interface: lan, ip, mac }: DaemonView['otherRouters'][number],
): boolean {
  return alarm.alarm === 'other-router' && alarm.interface === lan && alarm.ip === ip && alarm.mac === mac;
}
