import {
  AliasNotFoundError,
  type Application,
  ArgumentParseError,
  type CommandContext,
  EnumValidationError,
  FlagNotFoundError,
  UnexpectedFlagError,
  UnexpectedPositionalError,
  UnsatisfiedFlagError,
  UnsatisfiedPositionalError,
  buildApplication,
  buildCommand,
  proposeCompletions,
  run,
  text_en,
} from '@stricli/core';
import { closest } from '../../config/closest.js';
import type { ControlClient } from '../../control/client.js';
import { type Argument, type Command, Usage } from './command.js';
import { COMMON, OPTIONS, type Option, type OptionName, type Options, spell } from './options.js';

/** Command lines to values, by @stricli/core; what is wrong with one is said in words of our own. */

export interface Parsed {
  readonly options: Options;
  readonly args: readonly string[];
}

interface Context extends CommandContext {
  /** For completions. */
  readonly client?: ControlClient;
  parsed?: Parsed;
  problem?: string;
}

export const optionsOf = (command: Command): readonly OptionName[] => [...(command.options ?? []), ...COMMON];

/** @throws Usage */
export async function parse(command: Command, argv: readonly string[]): Promise<Parsed> {
  const silent = { write: () => undefined };
  const context: Context = { process: { stdout: silent, stderr: silent } };
  await run(applicationOf(command, context), argv, context);
  if (context.parsed === undefined) throw new Usage(context.problem ?? 'cannot be understood');
  return context.parsed;
}

/** What can follow: options of the command, or values that may be meant; of addresses and names, those of the daemon. */
export async function complete(
  command: Command,
  argv: readonly string[],
  client: ControlClient,
): Promise<readonly string[]> {
  const silent = { write: () => undefined };
  const context: Context = { process: { stdout: silent, stderr: silent }, client };
  const found = await proposeCompletions(applicationOf(command, context), argv, context);
  // Options are many: they are offered to those who have begun one.
  const wanted = argv.at(-1)?.startsWith('-') === true;
  return found.flatMap(({ kind, completion }) => (kind === 'argument:flag' && !wanted ? [] : [completion]));
}

function applicationOf(command: Command, context: Context): Application<Context> {
  const names = optionsOf(command);
  const args = command.args ?? [];
  const target = buildCommand<Record<string, unknown>, readonly string[], Context>({
    func(this: Context, flags, ...values) {
      this.parsed = { options: flags as Options, args: values };
    },
    parameters: {
      flags: Object.fromEntries(names.map((name) => [name, flagOf(OPTIONS[name])])),
      aliases: Object.fromEntries(
        names.flatMap((name) => {
          const { short }: Option = OPTIONS[name];
          return short === undefined ? [] : [[short, name]];
        }),
      ),
      positional: {
        kind: 'array',
        parameter: { brief: '', parse: String, proposeCompletions: proposerOf(args) },
      },
      // biome-ignore lint/suspicious/noExplicitAny: the options of a command are known at run time only
    } as any,
    docs: { brief: command.summary },
  });
  const exceptionWhileParsingArguments = (error: unknown) => {
    context.problem ??= problemOf(error, names);
    return '';
  };
  return buildApplication(
    target,
    {
      name: 'marpctl',
      scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
      localization: { text: { ...text_en, exceptionWhileParsingArguments } },
    },
    {},
  );
}

/** An option as stricli defines it. */
function flagOf(option: Option) {
  const common = { brief: option.brief, optional: true };
  switch (option.kind) {
    case 'flag':
      return { ...common, kind: 'boolean', withNegated: false };
    case 'choice':
      return { ...common, kind: 'enum', values: option.values };
    default:
      return {
        ...common,
        kind: 'parsed',
        parse: option.parse,
        variadic: option.kind === 'repeated',
        ...(option.propose === undefined ? {} : { proposeCompletions: guarded(option.propose) }),
      };
  }
}

/** Arguments are told apart by their form, so each may be meant. */
function proposerOf(args: readonly Argument[]) {
  return guarded(async (client, partial) => {
    const lists = args.flatMap((each) => each.propose?.(client, partial) ?? []);
    return [...new Set((await Promise.all(lists)).flat())];
  });
}

/** A daemon that does not answer proposes nothing. */
function guarded(propose: (client: ControlClient, partial: string) => Promise<readonly string[]>) {
  return async function (this: Context, partial: string): Promise<readonly string[]> {
    return this.client === undefined ? [] : propose(this.client, partial).catch(() => []);
  };
}

function problemOf(error: unknown, names: readonly OptionName[]): string {
  if (error instanceof FlagNotFoundError) {
    const given = `--${error.input}`;
    if (Object.keys(OPTIONS).some((name) => spell(name) === given)) return `${given} does not apply to`;
    const meant = closest(given, names.map(spell));
    return `unknown option ${given}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
  }
  if (error instanceof AliasNotFoundError) return `unknown option -${error.input}`;
  if (error instanceof UnsatisfiedFlagError) return `--${error.externalFlagName} needs a value`;
  if (error instanceof UnexpectedFlagError) return `--${error.externalFlagName} is given twice`;
  if (error instanceof EnumValidationError) {
    const { externalFlagName: name, input, values } = error;
    const meant = closest(input, values);
    const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`;
    return `--${name}: "${input}" is not one of ${values.join(', ')}${hint}`;
  }
  if (error instanceof ArgumentParseError && error.exception instanceof Error)
    return `--${error.externalFlagNameOrPlaceholder}: ${error.exception.message}`;
  if (error instanceof UnexpectedPositionalError) return `unexpected "${error.input}"`;
  if (error instanceof UnsatisfiedPositionalError) return `${error.placeholder} missing`;
  return error instanceof Error ? error.message : String(error);
}
