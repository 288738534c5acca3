import { readLines } from '../ip/exec.js';
import { type AddressLine, type LinkLine, parseLinkOrAddress } from '../ip/parse-link.js';

export interface LinkDump {
  readonly linkLines: readonly LinkLine[];
  readonly addressLines: readonly AddressLine[];
}

const TRIES = 5;

/** All interfaces and their addresses, read again when they changed meanwhile. Rejects when `ip` fails. */
export async function dumpLinks(): Promise<LinkDump> {
  for (let tries = 1; ; tries++) {
    const linkLines: LinkLine[] = [];
    const addressLines: AddressLine[] = [];
    const take = (text: string) => {
      const line = parseLinkOrAddress(text, false);
      if (line === undefined || line === 'ignored') return;
      if (line.kind === 'link') linkLines.push(line);
      else addressLines.push(line);
    };
    try {
      await readLines('ip', ['-o', '-d', '-N', 'link', 'show'], take);
      await readLines('ip', ['-o', '-d', '-N', 'address', 'show'], take);
      return { linkLines, addressLines };
    } catch (error) {
      if (tries >= TRIES || !(error as Error).message.includes('interrupted')) throw error;
    }
  }
}

/** The routes of one table, line by line; none for a table that nobody has used, or a kernel without that family. */
export async function dumpRoutes(
  family: '-4' | '-6',
  table: number,
  onLine: (text: string) => void,
): Promise<void> {
  const args = ['-o', '-d', '-N', family, 'route', 'show', 'table', String(table)];
  await readLines('ip', args, onLine).catch((error: Error) => {
    if (!/does not exist|not supported/.test(error.message)) throw error;
  });
}
