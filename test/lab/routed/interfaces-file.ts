import type { Namespace } from '../kit/namespace.js';

/**
 * What ifup would do with a file of /etc/network/interfaces: MAC, addresses, and the commands of `pre-up` and `up`. The
 * interfaces that it does not make itself are there.
 */
export function ifup(router: Namespace, text: string): void {
  for (const [, name, method, lines] of text.matchAll(/^iface (\S+) inet (\S+)\n((?:\t.*\n)*)/gm)) {
    const values = (key: string) =>
      [...(lines as string).matchAll(new RegExp(`^\\t${key} (.+)$`, 'gm'))].map(
        ([, value]) => value as string,
      );
    for (const command of values('pre-up')) router.exec('sh', '-ec', command);
    for (const mac of values('hwaddress')) router.ip(`link set ${name} address ${mac}`);
    for (const address of values('address')) router.ip(`addr add ${address} dev ${name}`);
    if (method === 'static') router.ip(`link set ${name} up`);
    for (const command of values('up')) router.exec('sh', '-ec', command);
  }
}
