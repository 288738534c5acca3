import type { ServerResponse } from 'node:http';
import type { ControlClient } from '../control/client.js';
import { EVENT_KINDS } from '../control/records.js';

/** Without drops: in a storm they are thousands a second, and a count says as much. */
const KINDS = EVENT_KINDS.filter((kind) => kind !== 'drop');
const RETRY_MS = 2000;
/** What a page may leave unread before it loses records. */
const QUEUE_BYTES = 4 << 20;

/**
 * The events of all routers in one stream per page, each record with the name of its router. A browser opens six
 * connections to one server and no more, so a stream per router would end at six routers.
 */
export class Merged {
  readonly #routers: ReadonlyMap<string, ControlClient>;
  readonly #ends = new Set<AbortController>();

  constructor(routers: ReadonlyMap<string, ControlClient>) {
    this.#routers = routers;
  }

  /** Until the response closes. */
  add(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    response.flushHeaders();
    const end = new AbortController();
    this.#ends.add(end);
    response.once('close', () => {
      end.abort();
      this.#ends.delete(end);
    });
    for (const [name, client] of this.#routers) void follow(name, client, response, end.signal);
  }

  stop(): void {
    for (const end of this.#ends) end.abort();
  }
}

async function follow(
  router: string,
  client: ControlClient,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const name = JSON.stringify(router);
  let lost = 0;
  const send = (line: string) => {
    if (response.writableLength > QUEUE_BYTES) {
      lost++;
      return;
    }
    if (lost > 0) response.write(`{"router":${name},"event":"lost","lost":${lost}}\n`);
    lost = 0;
    response.write(`{"router":${name},${line.slice(1)}\n`);
  };
  while (!signal.aborted) {
    let message = 'marpd has stopped';
    try {
      const onOpen = () => send('{"event":"connected"}');
      await client.events((_, line) => send(line), { kinds: KINDS, signal, onOpen });
    } catch (error) {
      ({ message } = error as Error);
    }
    if (signal.aborted) return;
    send(JSON.stringify({ event: 'disconnected', message }));
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
  }
}
