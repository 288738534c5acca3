import { parse } from 'smol-toml';
import * as z from 'zod';
import { fileSchema } from '../../src/config/schema.js';
import { readReference } from './toml.js';

/** config/marpd.schema.json: what an editor with Taplo needs to complete and to check marpd.toml. */

interface JsonSchema {
  [key: string]: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
}

export function configSchema(): string {
  const root = z.toJSONSchema(fileSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  // zod's defaults are values of the program: "5s" is 5000 there. Those of the reference are as they are written.
  strip(root);
  for (const section of readReference()) {
    const at = section.name
      .split('.')
      .reduce<JsonSchema>((schema, name) => tableOf(schema.properties?.[name] ?? {}), root);
    if (section.about !== '') at.description = section.about;
    for (const { key, value, unset, about } of section.keys) {
      const property = at.properties?.[key];
      if (property === undefined)
        throw new Error(`config/reference.toml: ${section.name}.${key} is not in the schema`);
      property.description = about;
      const example = parse(`value = ${value}`).value;
      if (unset || section.repeated) property.examples = [example];
      else property.default = example;
    }
  }
  const { $schema, ...rest } = root;
  return `${JSON.stringify({ $schema, title: 'Configuration of marpd', ...rest }, null, 2)}\n`;
}

function tableOf(schema: JsonSchema): JsonSchema {
  return schema.items ?? schema;
}

function strip(schema: JsonSchema): void {
  delete schema.default;
  for (const property of Object.values(schema.properties ?? {})) strip(property);
  if (schema.items !== undefined) strip(schema.items);
}
