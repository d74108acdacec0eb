import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import type { Asked } from '../bench/ask.ts'
import { TenantryError } from '../errors.ts'
import { parseDuration, showValue } from '../units.ts'
import { readField } from './explain.ts'

/** What the command line of `bench` says, checked. */
export interface BenchFlags {
  readonly requests: readonly Asked[]
  readonly connections: number
  /** Milliseconds of one round that count. */
  readonly duration: number
  readonly rounds: number
  readonly compare: boolean
  readonly quiet: boolean
  /** A file, absolute; true: stdout. */
  readonly json: string | boolean
  /** A file, absolute. */
  readonly html: string | undefined
}

interface Flag {
  readonly usage: string
  readonly doc: string
  /** May be given several times. */
  readonly many?: true
}

const TABLE: readonly Flag[] = [
  { usage: '--path <path>', doc: 'what is asked for; repeat it for more, in turn (default: /)', many: true },
  { usage: '--method <method>', doc: 'how (default: GET, with a body POST)' },
  { usage: '--header <name: value>', doc: 'a header field; repeat it for more', many: true },
  { usage: '--body <text>', doc: 'a body, or @file' },
  { usage: '--host <host>', doc: 'the host that is asked for, and the name of the tenant (default: localhost)' },
  { usage: '--connections <number>', doc: 'connections that ask at the same time (default: 32)' },
  { usage: '--duration <duration>', doc: 'of each round, after its warm-up (default: 5s)' },
  { usage: '--rounds <number>', doc: 'rounds, each with a server of its own for every row (default: 3)' },
  { usage: '--no-compare', doc: 'for pages that change: answers need not be those of node:http' },
  { usage: '--json [file]', doc: 'the result for machines, to stdout or a file' },
  { usage: '--html <file>', doc: 'the result as a page with plots' },
  { usage: '--quiet', doc: 'no progress on stderr' },
]

export const BENCH_FLAGS: readonly string[] = TABLE.map(({ usage }) => usage.split(' ', 1)[0] as string)

/** Fields that would break what is sent, or that have a flag of their own. */
const OWN_FIELDS = ['host', 'content-length', 'transfer-encoding', 'connection', 'expect', 'upgrade']

export function addBenchFlags(command: Command): Command {
  for (const { usage, doc, many } of TABLE) {
    if (many) command.option(usage, doc, (value: string, before: string[] | undefined) => [...(before ?? []), value])
    else command.option(usage, doc)
  }
  return command
}

/** @throws TenantryError ERR_CONFIG or ERR_OPTION_INVALID, in one line */
export function readBenchFlags(given: Readonly<Record<string, unknown>>, cwd: string): BenchFlags {
  const { path: paths = ['/'], header = [], host = 'localhost', body: bodyText, json = false, html, ...other } = given as {
    path?: string[]; header?: string[]; method?: string; host?: string; body?: string; json?: string | true; html?: string
  }
  const body = bodyText === undefined ? undefined : readBody(bodyText, cwd)
  const { method = body === undefined ? 'GET' : 'POST' } = other
  if (!/^[A-Z-]{1,20}$/.test(method) || method === 'CONNECT') throw wrong('--method', method, 'a method such as POST')
  if (!/^[\w.-]{1,255}$/.test(host)) throw wrong('--host', host, 'a name such as app.example.test')
  const headers = header.map(readField)
  const own = headers.find(([name]) => OWN_FIELDS.includes(name.toLowerCase()))
  if (own !== undefined) throw wrong('--header', own.join(': '), 'a field that the request does not have anyway, or --host')
  for (const one of paths) if (!/^\/[\x21-\x7e]*$/.test(one)) throw wrong('--path', one, 'a path such as /blog?page=2')
  return {
    requests: paths.map((one) => ({ method, path: one, host, headers, body })),
    connections: readCount('--connections', given['connections'] ?? '32', 10_000),
    duration: readDuration(given['duration'] ?? '5s'),
    rounds: readCount('--rounds', given['rounds'] ?? '3', 100),
    compare: given['compare'] !== false,
    quiet: given['quiet'] === true,
    json: typeof json === 'string' ? writable('--json', json, cwd) : json,
    html: html === undefined ? undefined : writable('--html', html, cwd),
  }
}

function readBody(text: string, cwd: string): Uint8Array {
  if (!text.startsWith('@')) return Buffer.from(text)
  const file = path.resolve(cwd, text.slice(1))
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new TenantryError('ERR_CONFIG', `--body is ${showValue(text)}, which cannot be read`, { cause })
  }
}

/** Said before minutes of measuring, not after them. */
function writable(flag: string, text: string, cwd: string): string {
  const file = path.resolve(cwd, text)
  try {
    accessSync(path.dirname(file), constants.W_OK)
    if (!statSync(file, { throwIfNoEntry: false })?.isDirectory()) return file
  } catch {
    // Told below.
  }
  throw wrong(flag, text, 'a file in a folder that is there and can be written')
}

function readCount(flag: string, value: unknown, most: number): number {
  const number = /^\d{1,9}$/.test(String(value)) ? Number(value) : 0
  if (number >= 1 && number <= most) return number
  throw wrong(flag, value, `a whole number from 1 to ${most}`)
}

function readDuration(value: unknown): number {
  const milliseconds = parseDuration(/^\d+$/.test(String(value)) ? Number(value) : String(value))
  if (milliseconds >= 100 && milliseconds <= 3_600_000) return milliseconds
  throw wrong('--duration', value, 'from 100ms to 1h')
}

function wrong(flag: string, value: unknown, accepts: string): TenantryError {
  return new TenantryError('ERR_CONFIG', `${flag} is ${showValue(value)}; write ${accepts}`)
}
