import type { Namespace } from './namespace.js';
import { PROTOCOL } from './marpd.js';

/**
 * Everything in a router's kernel that is not ours: what must be the same after the worst that can happen to marpd.
 * Only settings and entries that somebody made are compared; what the kernel learns and forgets by itself is not.
 */
export interface ForeignState {
  readonly routes: string[];
  readonly neighbours: string[];
  readonly addresses: string[];
  readonly rules: string[];
  readonly sysctls: string[];
}

interface Entry {
  readonly [key: string]: unknown;
}

export function foreignState(namespace: Namespace): ForeignState {
  const routes = namespace
    .json<Entry>('route', 'show', 'table', 'all')
    .filter((route) => route.protocol !== PROTOCOL);
  const neighbours = namespace
    .json<{ state: string[] } & Entry>('neigh', 'show', 'nud', 'permanent')
    .filter((entry) => !('extern_learn' in entry));
  return {
    // "linkdown" and "dead" come and go with the cable
    routes: routes.map((route) => JSON.stringify({ ...route, flags: undefined })).sort(),
    neighbours: neighbours.map((entry) => JSON.stringify(entry)).sort(),
    addresses: namespace
      .json<{ ifname: string; address?: string; addr_info: { local: string; prefixlen: number }[] }>(
        'addr',
        'show',
      )
      .flatMap(({ ifname, addr_info }) =>
        addr_info.map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`),
      )
      .sort(),
    rules: namespace.json<Entry>('rule', 'show').map((rule) => JSON.stringify(rule)),
    sysctls: sysctls(namespace),
  };
}

// In the namespace of the reader: therefore by a command inside it.
function sysctls(namespace: Namespace): string[] {
  const script = 'for f in ip_forward conf/*/*; do printf "%s=%s\\n" "$f" "$(cat "$f" 2>/dev/null)"; done';
  return namespace.exec('sh', '-c', `cd /proc/sys/net/ipv4 && ${script}`).trim().split('\n').sort();
}
