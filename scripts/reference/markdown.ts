import { EVENT_KINDS, type EventKind } from '../../src/control/records.js';
import { ALARMS, CAUSES, DROP_REASONS, MACHINE_OF } from '../../src/mobility/events.js';
import { ALARM_MEANINGS, CAUSE_MEANINGS, DROP_MEANINGS } from '../../src/observe/descriptions.js';
import { STATES, ownMetrics } from './man.js';
import { openApi } from './openapi.js';

/** docs/reference.md, of docs/openapi.json and the tables of the program: the API, its events, the metrics, the alarms and the closed lists. */

/** Fields beside `event` and `time`. */
export const EVENT_FIELDS: Readonly<
  Record<EventKind, { readonly about: string; readonly fields: readonly string[] }>
> = {
  transition: {
    about: 'A host changed its state.',
    fields: ['ip', 'from', 'to', 'cause', 'machine', 'interface', 'mac', 'deadlineMs'],
  },
  alarm: {
    about: 'An alarm was raised.',
    fields: ['alarm', 'ip', 'mac', 'interface', 'otherMac', 'otherInterface', 'message'],
  },
  answered: {
    about: 'marpd answered an ARP request of `ip` for `target`.',
    fields: ['ip', 'target', 'interface'],
  },
  role: {
    about: 'This router is active or standby on a LAN from now on.',
    fields: ['interface', 'family', 'role', 'state', 'reason'],
  },
  evidence: {
    about: 'A frame of a host that says something new. `rttMs`: after this time it answered a probe.',
    fields: ['ip', 'evidence', 'interface', 'mac', 'rttMs'],
  },
  drop: { about: 'A frame was ignored.', fields: ['ip', 'reason', 'interface', 'mac'] },
  installed: {
    about:
      'The kernel has acknowledged a route. `age`: `fresh` or `settled`; `latencyMs`: time since the frame or command that caused it.',
    fields: ['ip', 'age', 'interface', 'latencyMs'],
  },
  lost: { about: 'The reader was too slow: so many records are missing here.', fields: ['lost'] },
};

const code = (text: string): string => `\`${text}\``;
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |\n`;
  return line(header) + line(header.map(() => '---')) + rows.map(line).join('');
}

interface Operation {
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: { readonly 'application/json': { readonly schema: { readonly properties?: object } } };
  };
}

function api(): string {
  const { paths } = JSON.parse(openApi()) as { paths: Record<string, Record<string, Operation>> };
  const rows = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { summary, parameters = [], requestBody }]) => {
      const query = parameters.filter((each) => each.in === 'query').map((each) => each.name);
      const body = Object.keys(requestBody?.content['application/json'].schema.properties ?? {});
      return [code(`${method.toUpperCase()} ${path}`), [...query, ...body].map(code).join(', '), summary];
    }),
  );
  return table(['path', 'query, or fields of the body', 'answer'], rows);
}

function metrics(): string {
  const rows = ownMetrics().map(({ name, type, help, labels }) => [
    code(name),
    type,
    labels.map(code).join(', '),
    help,
  ]);
  return table(['metric', 'type', 'labels', 'meaning'], rows);
}

export function referencePage(): string {
  return `# Reference

<!-- Written by \`npm run docs:reference\`. Do not edit. -->

The configuration has its own reference, [config/reference.toml](../config/reference.toml); the commands are described by
\`marpctl COMMAND --help\`.

## API

HTTP and JSON on the control socket, \`/run/marpd/marpd.sock\`, and over TLS with client certificates if \`[control.tcp]\`
is configured. [openapi.json](openapi.json) has the schema of every answer.

${api()}
Times are milliseconds, addresses are text, what is not known is \`null\`. An error is \`{"error": {"code", "message"}}\` with
status 400 (what was asked is wrong), 404 (no such host or path), 405, 409 (the command was refused; the message says
why), 413, 503 (too many event streams) or 504. Without \`limit\`, \`/v1/hosts\` streams all hosts; with it, \`next\` is the
\`after\` of the next page.

\`\`\`sh
curl --unix-socket /run/marpd/marpd.sock 'http://localhost/v1/hosts?state=settled'
curl --unix-socket /run/marpd/marpd.sock -d '{"ip": "10.1.1.5"}' http://localhost/v1/probe
curl --unix-socket /run/marpd/marpd.sock -N 'http://localhost/v1/events?kinds=transition,alarm'
\`\`\`

## Events

\`GET /v1/events\`, one JSON object per line; \`kinds\` and \`ip\` choose. \`marpctl monitor --all --json\` prints them.
Each has \`event\` and \`time\` (ISO 8601 with microseconds; \`lost\` has none).

${table(
  ['event', 'further fields', 'meaning'],
  EVENT_KINDS.map((kind) => [
    code(kind),
    EVENT_FIELDS[kind].fields.map(code).join(', '),
    EVENT_FIELDS[kind].about,
  ]),
)}
## States

${table(
  ['state', 'meaning'],
  STATES.map(([state, about]) => [code(state), about]),
)}
[state-machine.md](state-machine.md) has the transitions.

## Alarms

Logged as warnings, counted in \`marpd_alarms_total\`, listed by \`marpctl alarms\` and \`GET /v1/alarms\`. An alarm is
repeated every minute while its reason lasts.

${table(
  ['alarm', 'meaning', 'what to do'],
  ALARMS.map((alarm) => [code(alarm), ALARM_MEANINGS[alarm].meaning, ALARM_MEANINGS[alarm].remedy]),
)}
## Metrics

\`GET /metrics\` on the control socket, and on \`[prometheus] listen\`. Those of the process and of Node have their usual
names: \`process_*\`, \`nodejs_*\`.

${metrics()}
[operations.md](operations.md) 4 has the alert rules and the board that are made of them.

## Causes

Why a host changed its state: \`cause\` of a transition, in \`why\`, the log and \`marpd_transitions_total\`.

${table(
  ['cause', 'machine', 'meaning'],
  CAUSES.map((cause) => [code(cause), MACHINE_OF[cause], CAUSE_MEANINGS[cause]]),
)}
## Drop reasons

Why a frame was ignored: \`reason\` in \`marpctl drops\`, \`why\` and \`marpd_drops_total\`.

${table(
  ['reason', 'meaning'],
  DROP_REASONS.map((reason) => [code(reason), DROP_MEANINGS[reason]]),
)}`;
}
