import type { RoutedRecord } from './picture.js';

/** What the page asks of the marpctl that serves it. The token came in the fragment of the address, which no request carries. */

const KEY = 'token';

function token(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get(KEY);
  if (given !== null) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, '', location.pathname);
  }
  return given ?? sessionStorage.getItem(KEY) ?? '';
}

const authorization = { Authorization: `Bearer ${token()}` };

async function request(path: string): Promise<Response> {
  const response = await fetch(path, { headers: authorization, cache: 'no-store' });
  if (response.ok) return response;
  const body = (await response.json().catch(() => undefined)) as { error?: { message?: string } } | undefined;
  throw new Error(body?.error?.message ?? `HTTP ${response.status}`);
}

export async function get<T>(path: string): Promise<T> {
  return (await request(path)).json() as Promise<T>;
}

export async function getText(path: string): Promise<string> {
  return (await request(path)).text();
}

/** One path of one router's API. */
export function ask<T>(router: string, path: string): Promise<T> {
  return get(`/api/routers/${encodeURIComponent(router)}${path}`);
}

export type Line =
  | RoutedRecord
  | { readonly event: 'connected' | 'disconnected'; readonly router: string; readonly message?: string };

/** Reads the merged events until the server ends. */
export async function follow(onLines: (lines: readonly Line[]) => void): Promise<void> {
  const reader = (await request('/api/events')).body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (let chunk = await reader?.read(); chunk !== undefined && !chunk.done; chunk = await reader?.read()) {
    const lines = (rest + chunk.value).split('\n');
    rest = lines.pop() ?? '';
    onLines(lines.map((line) => JSON.parse(line) as Line));
  }
}
