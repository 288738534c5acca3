/** In which order hosts stand in a row: machine by machine, and by value. */

interface Ordered {
  readonly ip: string;
  readonly mac: string | null;
  readonly order: string;
}

/** An address as text that sorts by its value, IPv4 before IPv6: hosts are sorted by thousands. */
export function orderOf(ip: string): string {
  if (!ip.includes(':'))
    return `4${ip
      .split('.')
      .map((part) => hex(Number.parseInt(part, 10), 2))
      .join('')}`;
  const [head = '', tail = ''] = ip.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...new Array<string>(Math.max(0, missing)).fill('0'), ...groups(tail)];
  return `6${all.map((group) => group.padStart(4, '0')).join('')}`;
}

const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** The addresses of one MAC stand together, where the first of them would; a host without MAC is alone. */
export function byMachine<T extends Ordered>(hosts: Iterable<T>): T[] {
  const all = [...hosts];
  const first = new Map<string, string>();
  for (const { mac, order } of all) {
    if (mac === null) continue;
    const known = first.get(mac);
    if (known === undefined || order < known) first.set(mac, order);
  }
  const machineOf = ({ mac, order }: T) => (mac === null ? order : (first.get(mac) ?? order));
  return all.sort((a, b) => compare(machineOf(a), machineOf(b)) || compare(a.order, b.order));
}
