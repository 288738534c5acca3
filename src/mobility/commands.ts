import type { Ip, Mac, Prefix } from '../wire/addresses.js';
import type { RoleKind } from './events.js';

/** Opaque number by which a reply finds its request. */
export type Token = number;

export type Command =
  | { readonly name: 'probe'; readonly ip: Ip }
  | { readonly name: 'clear'; readonly ip: Ip }
  | { readonly name: 'discover'; readonly prefix: Prefix }
  | { readonly name: 'role'; readonly interface: string; readonly state: RoleKind }
  | { readonly name: 'prepare'; readonly mac: Mac; readonly ips: readonly Ip[]; readonly interface: string }
  | {
      readonly name: 'attach';
      readonly mac: Mac | undefined;
      readonly ips: readonly Ip[];
      readonly interface: string;
    }
  | {
      readonly name: 'detach';
      readonly mac: Mac | undefined;
      readonly ips: readonly Ip[];
      readonly interface: string;
    };
