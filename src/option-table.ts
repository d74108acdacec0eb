import * as v from 'valibot'
import {
  count,
  duration,
  isObject,
  isPlainObject,
  label,
  natural,
  program,
  size,
  spec,
  type OptionSpec,
} from './option-spec.ts'
import type { OptionName } from './options.ts'
import { DEFAULT_LOGGER } from './ops/logger.ts'
import { WINDOW } from './wire/frames.ts'

/** A smaller heap does not even load an application. */
const LEAST_MEMORY = 16 * 1024 ** 2

const PRINTABLE = /^[\x21-\x7e]{1,255}$/

/** Each option once. The order matters: a default may depend on the options before it. */
export const OPTIONS: Readonly<Record<OptionName, OptionSpec>> = {
  tenants: program(
    v.union([v.pipe(v.string(), v.nonEmpty()), v.instance(Map), v.function(), v.custom(isPlainObject)]),
    {
      doc: 'Who is served: a folder, a Map or object of host to tenant, or a function of the host.',
      accepts: 'a folder, a Map or object of host to tenant, or a function (host, signal) => tenant',
      standard: 'required',
      reason: 'nothing can be served without it',
    },
  ),
  applicationGroup: label('%{HOST}', {
    doc: 'Which application group a request belongs to.',
    reason: 'every host its own Node',
  }),
  processGroup: label('', {
    doc: 'Which process group a request belongs to; empty is this process.',
    reason: 'as mod_wsgi in embedded mode',
  }),
  processGroups: {
    ...program(v.custom(isPlainObject), {
      doc: 'Named sets of daemons, by name: processes of their own in which application groups live.',
      accepts: 'an object of name to options, such as { shop: { processes: 2 } }',
      standard: '{}',
      reason: 'a process costs more than a thread; who needs one says so',
    }),
    initial: () => ({}),
  },
  allowedHosts: program(
    v.union([v.literal(true), v.pipe(v.array(v.pipe(v.string(), v.regex(PRINTABLE))), v.minLength(1))]),
    {
      doc: 'The hosts that are answered at all; true allows any.',
      accepts: "a list of hosts and patterns such as '*.example.com', or true for any",
      standard: "the tenants' hosts",
      reason: 'a client must not be able to name a host that nobody configured; a function needs it said',
    },
  ),
  serverName: spec('text', v.pipe(v.string(), v.regex(PRINTABLE)), 'localhost', {
    doc: "The server's own name, in labels and for requests without a host.",
    accepts: 'a host name, with a port or without',
    reason: 'a name that is never anybody else',
  }),
  labelPort: spec('choice', v.picklist(['accepting', 'server', 'host-or-accepting', 'host']), 'accepting', {
    doc: 'Which port may become part of a label.',
    accepts: 'accepting, server, host-or-accepting or host',
    reason: 'the one port that a client cannot choose',
  }),
  trustProxy: spec(
    'proxy',
    v.union([v.boolean(), natural(1), v.pipe(v.string(), v.nonEmpty()), v.array(v.string())]),
    false,
    {
      doc: 'The proxies whose X-Forwarded headers are believed.',
      accepts: "true, false, a number of hops, or addresses and networks such as 'loopback' and '10.0.0.0/8'",
      reason: 'anybody can send such headers',
    },
  ),
  requestVariables: program(v.function(), {
    doc: 'Request variables for %{ENV:NAME} labels.',
    accepts: 'a function of the request facts',
    standard: 'none',
    reason: 'only you know which request data may choose a group',
  }),
  dispatch: program(v.function(), {
    doc: 'Chooses where a request goes instead of where its host would take it.',
    accepts: 'a function (request, signal) => { applicationGroup, processGroup, tenant }, or a promise of it',
    standard: 'none',
    reason: 'labels are enough for most',
  }),
  access: program(v.function(), {
    doc: 'Allows or denies a request before any context starts for it.',
    accepts: 'a function (request, signal) => true, false or a status from 400 to 499, or a promise of it',
    standard: 'none',
    reason: 'whoever may name a host may ask',
  }),
  lane: spec('choice', v.picklist(['auto', 'relay', 'handoff']), 'auto', {
    doc: 'How requests come to contexts from a server that runtime.listen() or the command has opened; see docs/lanes.md.',
    accepts: 'auto, relay or handoff',
    reason: 'a connection that was handed over costs the front nothing; where one cannot be, the relay serves it',
  }),
  maxContexts: count(1, ({ maxContexts }) => maxContexts, 'from memory and descriptors', {
    doc: 'The most contexts alive at once: starting, serving and draining all count.',
    reason: 'half of the memory at 48mb and half of the descriptors at 5 for each, 2 to 512',
  }),
  maxGroups: count(1, (_, { maxContexts }) => nineTenths(maxContexts as number), 'nine tenths of maxContexts', {
    doc: 'The most application groups at once; the least recently used idle one makes room.',
    reason: 'the rest is room for contexts that drain or replace another',
  }),
  maxGroupsPerPattern: count(1, (_, { maxGroups }) => Math.ceil((maxGroups as number) / 2), 'half of maxGroups', {
    doc: 'The most groups that one wildcard, fallback or function may hold.',
    reason: 'hosts that a client makes up cannot push out those that are named',
  }),
  maxStarts: count(1, ({ maxStarts }) => maxStarts, 'maxContexts of this machine, at least 120', {
    doc: 'The most contexts started in a minute.',
    reason: 'a start takes 20 to 50ms of CPU from those who serve, and a full house should be back within a minute',
  }),
  maxStarting: count(1, (caps, { maxContexts }) => Math.min(caps.maxStarting, maxContexts as number), 'cores + 1', {
    doc: 'The most contexts starting at the same time; one that takes more than 2s no longer counts.',
    reason: 'a start is nearly all CPU, and takes it from those who serve',
  }),
  spares: count(0, (_, { maxContexts }) => ((maxContexts as number) < 8 ? 0 : 1), '1, or 0 where maxContexts is below 8', {
    doc: 'Contexts kept started without a tenant, in this process or in each daemon: the next start is the import of its application.',
    reason: 'a start takes 20 to 50ms of waiting, of which one spare saves all but the import; it holds about 10mb',
  }, 64),
  maxZombies: count(0, () => 2, '2', {
    doc: 'The most threads that could not be ended; past it the runtime is not ready and starts nothing.',
    reason: 'each may hold a core until the process is restarted; one or two are an accident, more are a habit',
  }),
  maxMemory: size(({ maxMemory }) => maxMemory, 'four fifths of the memory', LEAST_MEMORY, {
    doc: 'Resident memory of the server and its daemons; past it idle groups are ended, and nothing is started.',
    reason: 'the sum of many contexts within their limits must not wake the killer of the system',
  }),
  maxConnections: count(0, ({ maxConnections }) => maxConnections, 'from descriptors and memory', {
    doc: 'The most connections of all servers that runtime.listen() or the command has opened, together; one more is closed at once. 0 is off.',
    reason: 'three quarters of the descriptors that contexts do not need, and a quarter of the memory at 16kb for each',
  }),
  maxInFlight: count(1, () => 1024, '1024', {
    doc: 'The most requests that one group works on at once.',
    reason: 'far above a busy application, far below what one host needs to exhaust the server',
  }),
  maxQueue: count(0, () => 256, '256', {
    doc: 'The most requests that wait for one group.',
    reason: 'a waiting request holds a head of up to 16kb: 4mb for a group',
  }),
  startupTimeout: duration('30s', 'above 0', {
    doc: 'How long a context may take until it can serve.',
    reason: 'a large application on a cold disk',
  }),
  queueTimeout: duration('15s', 'above 0', {
    doc: 'How long a request waits for its group.',
    reason: 'people leave earlier, proxies give up at 30s or later',
  }),
  handlerTimeout: duration('60s', '0 is off', {
    doc: 'How long an application may take until the head of its answer.',
    reason: 'what proxies in front allow by default',
  }),
  idleTimeout: duration('10m', '0 is off', {
    doc: 'How long a group may be unused before it is ended.',
    reason: 'a start costs far less than memory held for nobody',
  }),
  trimTimeout: duration('5s', '0 is off', {
    doc: 'How long a context may be idle before it collects its garbage and gives the memory back; Node 20 to 24 on Linux only.',
    reason: 'it takes 20ms of CPU, once after requests; V8 leaves 4 MB in an idle thread on Node 24',
  }),
  drainTimeout: duration('10s', '0 ends at once', {
    doc: 'How long requests in flight may go on when a context or the runtime closes.',
    reason: 'below the 30s after which service managers kill',
  }),
  terminateTimeout: duration('2s', 'above 0', {
    doc: 'How long an ended thread may take to be gone before it counts as a zombie.',
    reason: 'an ordinary thread needs 12ms; one stuck in native code may never end',
  }),
  deadlockTimeout: duration('60s', '0 is off', {
    doc: 'How long an event loop may stand still before its context is ended.',
    reason: 'longer than honest synchronous work',
  }),
  memoryLimit: size(({ memoryLimit }) => memoryLimit, 'a quarter of the memory, 64mb to 256mb', LEAST_MEMORY, {
    doc: 'Heap and external memory of one context; over it the context is replaced.',
    reason: 'several times what a framework application needs, and one leak cannot take the machine',
  }),
  cpuTimeLimit: duration('0', '0 is off', {
    doc: 'CPU time of one context over its life; over it the context is replaced.',
    reason: 'how much is too much depends on how long it lives and what is paid for',
  }),
  maxRequests: count(0, () => 0, '0 (off)', {
    doc: 'Requests that one context serves before it is replaced.',
    reason: 'a healthy application needs no replacement',
  }),
  maxAge: duration('0', '0 is off', {
    doc: 'How long one context serves before it is replaced.',
    reason: 'a healthy application needs no replacement',
  }),
  headerTimeout: duration('15s', '0 is off', {
    doc: 'How long the head of a request may take from its first byte, before bytes extend it.',
    reason: 'as mod_wsgi-express; a head is one packet or two',
  }),
  headerMinRate: count(0, () => 500, '500', {
    doc: 'Bytes a second of a head: each byte received extends headerTimeout by its share of a second; 0 is off.',
    reason: 'as mod_wsgi-express; slower than any modem',
  }),
  headerMaxTimeout: maxTimeout('headerTimeout', 'headerMinRate', (timeout) => 2 * timeout, 'twice headerTimeout', {
    doc: 'How long the head of a request may take at most, however fast it comes.',
    reason: 'as mod_wsgi-express: 30s for 15s; a head has 16kb, which need no longer at the least rate',
  }),
  bodyTimeout: duration('15s', '0 is off', {
    doc: 'How long the body of a request may take from its first read, before bytes extend it.',
    reason: 'as mod_wsgi-express; time in which the application reads nothing is not counted',
  }),
  bodyMinRate: count(0, () => 500, '500', {
    doc: 'Bytes a second of a body: each byte received extends bodyTimeout by its share of a second; 0 is off.',
    reason: 'as mod_wsgi-express; slower than any modem',
  }),
  bodyMaxTimeout: maxTimeout('bodyTimeout', 'bodyMinRate', () => 0, '0 (off)', {
    doc: 'How long the body of a request may take at most, however fast it comes.',
    reason: 'as mod_wsgi-express; a large upload is not a slow one',
  }),
  sendTimeout: duration('60s', '0 is off', {
    doc: 'How long a client may take nothing of an answer that waits for it, between two writes.',
    reason: 'as send_timeout of nginx; nobody is still there who takes not one byte in a minute',
  }),
  bodyLimit: size(() => 0, '0 (off)', 0, {
    doc: 'The largest request body.',
    reason: 'bodies are streamed and never held, so the application may decide',
  }),
  bufferLimit: size(() => 32 * 1024 ** 2, '32mb', WINDOW, {
    doc: 'Bytes of bodies that one context holds in the front, besides 64kb for each request; also of answers that nobody reads.',
    reason: '73 bodies at full speed; the others go on more slowly, and of unread answers the oldest is cut',
  }),
  tenantNice: count(0, () => (process.platform === 'linux' ? 5 : 0), '5 on Linux, 0 elsewhere', {
    doc: 'How far the threads of tenants stand back for the front: their nice value; Linux only.',
    reason: 'beside three spinning threads on two cores, the 99th percentile of a 2ms timer fell from 6.5ms to 2.6ms',
  }, 19),
  logger: {
    ...program(v.union([v.literal(false), v.custom(isObject)]), {
      doc: 'Where the log goes: a pino logger, options for one, or false for none.',
      accepts: 'a pino logger, options for one, or false',
      standard: 'pino on stdout, level info',
      reason: 'why a tenant failed stands nowhere else',
    }),
    initial: () => DEFAULT_LOGGER,
  },
  signal: program(v.instance(AbortSignal), {
    doc: 'Closes the runtime when it is aborted.',
    accepts: 'an AbortSignal',
    standard: 'none',
    reason: 'close() does the same',
  }),
}

export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

/** Its default follows the two options that it extends, and is off where they are. */
function maxTimeout(
  timeout: 'headerTimeout' | 'bodyTimeout',
  minRate: 'headerMinRate' | 'bodyMinRate',
  standard: (timeout: number) => number,
  shown: string,
  text: { doc: string; reason: string },
): OptionSpec {
  const initial: OptionSpec['initial'] = (_, before) =>
    before[minRate] === 0 ? 0 : standard(before[timeout] as number)
  return { ...duration('0', '0 is off', text), initial, standard: shown }
}

function nineTenths(whole: number): number {
  return Math.max(1, Math.floor(whole * 0.9))
}
