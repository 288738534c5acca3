import * as z from 'zod';
import { readVersion } from '../../src/system/version.js';
import { EVENT_KINDS } from '../../src/control/records.js';
import { ROUTES } from '../../src/control/routes.js';
import * as schemas from '../../src/control/schemas.js';

/** docs/openapi.json: the control API in OpenAPI 3.1, from the schemas that check its requests and answers. */

const commandResult = z.object({ ok: z.boolean(), message: z.string() });

interface Described {
  readonly summary: string;
  readonly answer?: z.ZodType;
  /** Of an answer that is no JSON object. */
  readonly type?: string;
}

/** By method and path; a route that is missing here is an error. */
const ABOUT: Readonly<Record<string, Described>> = {
  'GET /metrics': { summary: 'Metrics for Prometheus', type: 'text/plain' },
  'GET /v1/status': { summary: 'The state of marpd', answer: schemas.statusView },
  'GET /v1/hosts': { summary: 'All known hosts, or those that match', answer: schemas.hostsPage },
  'GET /v1/macs': {
    summary: 'The machines that have an address which matches, each with all its addresses (1000, or limit)',
    answer: schemas.macsPage,
  },
  'GET /v1/hosts/{ip}': { summary: 'One host', answer: schemas.hostView },
  'GET /v1/interfaces': { summary: 'The mobility interfaces', answer: schemas.interfacesAnswer },
  'GET /v1/why/{ip}': { summary: 'Why a host was or was not learned', answer: schemas.whyView },
  'GET /v1/drops': { summary: 'Ignored frames by reason', answer: schemas.dropsAnswer },
  'GET /v1/alarms': { summary: 'Alarms, what they mean and what to do', answer: schemas.alarmsAnswer },
  'GET /v1/mapping': {
    summary:
      'The mapping system: map-servers, registrations, mappings of other routers; 404 without [mapping]',
    answer: schemas.mappingView,
  },
  'GET /v1/config': { summary: 'The configuration in force', answer: schemas.configView },
  'GET /v1/events': {
    summary: `A stream of JSON lines, one per event: ${EVENT_KINDS.join(', ')}`,
    type: 'application/x-ndjson',
  },
  'GET /v1/capture': {
    summary: 'A pcapng file, as it grows: frames, decisions as comments, other events as journal entries',
    type: 'application/x-pcapng',
  },
  'POST /v1/prepare': { summary: 'Expect a guest', answer: commandResult },
  'POST /v1/attach': { summary: 'A guest is here', answer: commandResult },
  'POST /v1/detach': { summary: 'A guest is leaving', answer: commandResult },
  'POST /v1/probe': { summary: 'Probe a host now', answer: commandResult },
  'POST /v1/clear': { summary: 'Withdraw a host and probe it again', answer: commandResult },
  'POST /v1/discover': { summary: 'Look for silent hosts of a subnet on its LANs', answer: commandResult },
  'POST /v1/role': { summary: 'This router is active or standby on a LAN', answer: commandResult },
  'POST /v1/reload': { summary: 'Read the configuration again', answer: commandResult },
  'POST /v1/log-level': { summary: 'Set the level of the log', answer: commandResult },
};

type Json = Record<string, unknown>;

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  return rest;
}

function parametersOf(path: string, input: Json): Json[] {
  const properties = (input.properties ?? {}) as Record<string, Json>;
  return Object.entries(properties).map(([name, schema]) => {
    const inPath = path.includes(`{${name}}`);
    return { name, in: inPath ? 'path' : 'query', required: inPath, schema };
  });
}

export function openApi(): string {
  const paths: Record<string, Json> = {};
  for (const { method, path, input } of ROUTES) {
    const about = ABOUT[`${method} ${path}`];
    if (about === undefined)
      throw new Error(`scripts/reference/openapi.ts says nothing of ${method} ${path}`);
    const fields = schemaOf(input, 'input');
    const request =
      method === 'GET'
        ? { parameters: parametersOf(path, fields) }
        : { requestBody: { required: true, content: { 'application/json': { schema: fields } } } };
    const content = {
      [about.type ?? 'application/json']: {
        schema: about.answer === undefined ? { type: 'string' } : schemaOf(about.answer, 'output'),
      },
    };
    const operation = {
      summary: about.summary,
      ...request,
      responses: {
        '200': { description: 'done', content },
        default: { $ref: '#/components/responses/error' },
      },
    };
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation };
  }
  const error = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'marpd control API',
      version: readVersion(),
      description:
        'HTTP on the Unix socket /run/marpd/marpd.sock, and with mutual TLS on control.tcp of the configuration.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://localhost', description: 'curl --unix-socket /run/marpd/marpd.sock' }],
    paths,
    components: {
      responses: {
        error: {
          description: 'refused: 400 wrong request, 404 no such host or path, 409 refused, 5xx not now',
          content: { 'application/json': { schema: schemaOf(error, 'output') } },
        },
      },
    },
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
