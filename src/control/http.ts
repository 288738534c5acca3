import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** HTTP as the server needs it, hostile clients included. */

export const BODY_BYTES = 64 << 10;
/** Of what a request may hold; none needs more than two. */
const MAX_DEPTH = 8;
/** How much of a refused body is still read, so that the client sees the refusal. */
const DISCARD_BYTES = 16 << 20;

/** An answer other than 200: `{error: {code, message}}`. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** `message` says what is wrong with the request. */
export function badRequest(message: string): Refusal {
  return new Refusal(400, 'bad-request', message);
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    ...headers,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** @throws Refusal 400 */
export function splitUrl(url: string): { path: string; query: Readonly<Record<string, string>> } {
  const mark = url.indexOf('?');
  const query = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1))) {
    if (query.has(key)) throw badRequest(`query parameter "${key}" is given twice`);
    query.set(key, value);
  }
  try {
    return {
      path: decodeURIComponent(mark < 0 ? url : url.slice(0, mark)),
      query: Object.fromEntries(query),
    };
  } catch {
    throw badRequest('the path is not properly percent-encoded');
  }
}

/** The body as JSON. @throws Refusal 400, 413 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const text = await readBody(request);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(`the body is not JSON: ${(error as Error).message}`);
  }
  // Whoever shows or compares it would run out of stack.
  if (isDeeper(value, MAX_DEPTH)) throw badRequest(`the body is nested more than ${MAX_DEPTH} levels deep`);
  return value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

/** The whole body as text. @throws Refusal 413 above BODY_BYTES */
async function readBody(request: IncomingMessage): Promise<string> {
  const tooLarge = () => new Refusal(413, 'body-too-large', `the body is larger than ${BODY_BYTES} bytes`);
  if (Number(request.headers['content-length']) > BODY_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > BODY_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.once('close', () => reject(badRequest('the body ended early')));
  });
}

/** Reads on for a while after a refusal: a client that still writes when we close never sees the answer. */
export function discardRest(request: IncomingMessage): void {
  if (request.complete) return;
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARD_BYTES) request.destroy();
  });
  request.resume();
}

/** What arrived is not HTTP. The client may be a person with netcat: answer, then close. */
export function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket): void {
  // What is written before the end of a handshake waits for it, and the connection with it.
  const isUnfinished = socket instanceof TLSSocket && !socket.authorized;
  if (error.code === 'ECONNRESET' || !socket.writable || isUnfinished) {
    socket.destroy();
    return;
  }
  const [status, text] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'the headers are too large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'the request took too long']
        : ['400 Bad Request', 'this is not an HTTP request'];
  const body = `${JSON.stringify({ error: { code: 'bad-request', message: text } })}\n`;
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  socket.end(head + body, () => socket.destroy());
}
