import type { Config } from '../config/config.js';
import { familyOf, formatIp } from '../wire/addresses.js';
import { type DaemonView, type Facts, type Finding, error, ok, warning } from './finding.js';

/** The mapping system, as far as plain facts of this machine tell. */

export function checkMapping(facts: Facts, config: Config, daemon: DaemonView | undefined): Finding[] {
  const { mapping } = config;
  const found = facts.mapping;
  if (mapping === undefined || found === undefined) return [];
  return [
    ...checkRlocs(facts, config),
    ...found.looped.map((rloc) =>
      error(
        'rloc',
        `${formatIp(rloc)} is reached through ${mapping.device} alone, so packets to it are encapsulated again and lost`,
        `a route to ${formatIp(rloc)} in the core: ip route get ${formatIp(rloc)}`,
      ),
    ),
    checkKeyFile(mapping.keyFile, found.keyFileMode),
    ...(daemon === undefined && found.controlPortTaken
      ? [
          error(
            'mapping port',
            'UDP port 4342 (RFC 9301) is taken by another program, so marpd cannot speak to map servers',
            "ss -lunp 'sport = :4342', and stop that program",
          ),
        ]
      : []),
    ...checkDevice(facts, config),
  ];
}

function checkRlocs(facts: Facts, config: Config): Finding[] {
  const { mapping, policy } = config;
  return (mapping?.rlocs ?? [])
    .filter((rloc) => policy.families.includes(familyOf(rloc)))
    .map((rloc) => {
      const text = formatIp(rloc);
      const owner = facts.links.find(({ addresses }) => addresses.some(({ ip }) => ip === rloc));
      if (owner !== undefined) return ok('rloc', `${text} is ours, on ${owner.name}`);
      return error(
        'rloc',
        `${text} is no address of this machine: what other routers send to it goes elsewhere`,
        `mapping.rloc, or: ip address add ${text} dev lo`,
      );
    });
}

function checkKeyFile(path: string, mode: number | undefined): Finding {
  if (mode === undefined)
    return error(
      'key file',
      `${path} is missing or cannot be read`,
      `mapping.key_file, or copy it from the machine of the map server`,
    );
  if ((mode & 0o077) === 0) return ok('key file', `${path} can be read by its owner only`);
  const octal = mode.toString(8).padStart(4, '0');
  const message = `${path} has mode ${octal}: others can read the keys, and register hosts`;
  return error('key file', message, `chmod 0600 ${path}`);
}

function checkDevice(facts: Facts, config: Config): Finding[] {
  const { mapping } = config;
  const wanted = facts.mapping?.tunnelMtu;
  const link = facts.links.find(({ name }) => name === mapping?.device);
  if (mapping === undefined || mapping.encapsulation === 'none' || link === undefined) return [];
  const findings: Finding[] = [];
  const { name, mtu = 0, rpFilter } = link;
  if (wanted !== undefined && mtu > wanted)
    findings.push(
      error(
        'tunnel',
        `the MTU of ${name} is ${mtu}, but the interfaces to the other routers leave ${wanted}: larger packets are fragmented or lost`,
        `mapping.mtu = "auto" or ${wanted}, or a larger MTU in the core`,
      ),
    );
  if (rpFilter === 1)
    findings.push(
      warning(
        'tunnel',
        `rp_filter is strict on ${name}: the kernel drops what comes from a host whose way back is not the tunnel`,
        `sysctl -w net/ipv4/conf/${name}/rp_filter=2`,
      ),
    );
  const redirects = ['all', name].filter(
    (where) => facts.sysctls.get(`net/ipv4/conf/${where}/send_redirects`) === 1,
  );
  if (redirects.length > 0)
    findings.push(
      warning(
        'tunnel',
        `send_redirects is on for ${name}: hosts may be told of a router that they cannot reach`,
        `sysctl -w ${redirects.map((where) => `net/ipv4/conf/${where}/send_redirects=0`).join(' ')}`,
      ),
    );
  return findings.length > 0 ? findings : [ok('tunnel', `${name} is set up, MTU ${mtu}`)];
}
