import { Command, CommanderError } from 'commander'
import { TenantryError } from '../errors.ts'
import { bench } from './bench.ts'
import { addBenchFlags, BENCH_FLAGS, readBenchFlags } from './bench-flags.ts'
import { check } from './check.ts'
import { addRequestFlags, explain, readRequest, REQUEST_FLAGS } from './explain.ts'
import { addFlags, FLAGS, readFlags } from './flags.ts'
import { serve } from './serve.ts'
import { suggestion } from '../nearest.ts'
import { EXIT, type Outcome, type World } from './world.ts'

const UNITS = `
A duration is milliseconds, or text such as 250ms, 30s, 10m, 2h or 7d; a size is bytes, or text such as 512kb or 64mb.
A flag wins over its environment variable (--max-groups: TENANTRY_MAX_GROUPS), that over the configuration file.`

const CODES = `
Exit codes: 0 clean, 1 failed, 2 usage or configuration, 3 could not listen, 128+n forced by signal n.
Signals: SIGTERM and SIGINT drain, a second one forces; SIGHUP reads the configuration and the tenants again.`

const TARGET =
  'a folder whose sub-folders are tenants named after their hosts, or a configuration file (.json, .mjs, .js)'

const URL_TEXT = 'the request: http://host/path, https://host/path or host/path'

/** Runs one command line (without node and the script) and says how the process should end. */
export async function run(argv: readonly string[], world: World): Promise<Outcome> {
  let outcome: Outcome = { code: EXIT.clean, stuck: false }
  const program = new Command('tenantry')
    .description('Many Node.js applications in one server, each host in its own isolated context, under caps.')
    .version(world.version)
  const serveCommand = program.command('serve').description('serve the tenants until a signal ends it')
  addFlags(serveCommand.argument('[dir|config]', TARGET))
    .addHelpText('after', UNITS + CODES)
    .action(async (target: string | undefined, given: Record<string, unknown>) => {
      outcome = await serve(target, readFlags(given), world)
    })
  const checkCommand = program.command('check').description('show what was found and resolved, and start nothing')
  addFlags(checkCommand.argument('[dir|config]', TARGET))
    .option('--json', 'for machines')
    .addHelpText('after', UNITS)
    .action(async (target: string | undefined, given: Record<string, unknown>) => {
      outcome = await check(target, readFlags(given), given['json'] === true, world)
    })
  const explainCommand = program.command('explain').description('show how a request would be resolved, and start nothing')
  addRequestFlags(addFlags(explainCommand.argument('<url>', URL_TEXT).argument('[dir|config]', TARGET)))
    .option('--json', 'for machines')
    .addHelpText('after', UNITS)
    .action(async (url: string, target: string | undefined, given: Record<string, unknown>) => {
      outcome = await explain(target, readFlags(given), readRequest(url, given), given['json'] === true, world)
    })
  const benchCommand = program.command('bench').description('measure an application behind node:http and behind Tenantry')
  addBenchFlags(benchCommand.argument('<entry>', "a module, or a tenant's folder"))
    .action(async (target: string, given: Record<string, unknown>) => {
      outcome = await bench(target, readBenchFlags(given, world.cwd), world)
    })
  for (const command of [program, serveCommand, checkCommand, explainCommand, benchCommand]) {
    command
      .exitOverride()
      .showSuggestionAfterError(false)
      .configureOutput({
        writeOut: (text) => world.stdout.write(text),
        writeErr: (text) => world.stderr.write(text),
        outputError: () => {}, // written below, with what can be said about it
      })
  }
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return outcome
  } catch (error) {
    return failed(error, argv, world)
  }
}

function failed(error: unknown, argv: readonly string[], world: World): Outcome {
  if (error instanceof CommanderError) {
    // Help and the version end this way too.
    if (error.exitCode === 0) return { code: EXIT.clean, stuck: false }
    // Help that nobody asked for, because nothing was asked at all, stands on stderr already.
    if (error.code !== 'commander.help') say(world, `${describe(error, argv)}; try tenantry --help`)
    return { code: EXIT.usage, stuck: false }
  }
  if (error instanceof TenantryError && (error.code === 'ERR_OPTION_INVALID' || error.code === 'ERR_CONFIG')) {
    say(world, error.message)
    return { code: EXIT.usage, stuck: false }
  }
  // Not foreseen: the stack is what will help.
  say(world, error instanceof Error ? (error.stack ?? error.message) : String(error))
  return { code: EXIT.failed, stuck: false }
}

function describe(error: CommanderError, argv: readonly string[]): string {
  const message = error.message.replace(/^error: /, '').split('\n', 1)[0] as string
  const word = /'([^']*)'/.exec(message)?.[1] ?? ''
  if (error.code === 'commander.unknownOption') {
    return (
      message +
      suggestion(word.split('=', 1)[0] as string, argv[0] === 'bench' ? BENCH_FLAGS : [
        ...FLAGS.map(({ long }) => long),
        ...(argv[0] === 'check' ? ['--json'] : []),
        ...(argv[0] === 'explain' ? ['--json', ...REQUEST_FLAGS] : []),
      ])
    )
  }
  return error.code === 'commander.unknownCommand' ? message + suggestion(word, ['serve', 'check', 'explain', 'bench', 'help']) : message
}

function say(world: World, text: string): void {
  world.stderr.write(`tenantry: ${text}\n`)
}
