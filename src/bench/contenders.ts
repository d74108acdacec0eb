/** One way in which the application is served. */
export interface Contender {
  readonly name: string
  /** For people: what stands between client and application. */
  readonly about: string
  /** Flags of `serve`; undefined: node:http itself. */
  readonly flags: readonly string[] | undefined
  /** How its connections come to the application, where that is a choice. */
  readonly lane: 'relay' | 'handoff' | undefined
}

const BARE: Contender = { name: 'bare', about: 'node:http in a process of its own', flags: undefined, lane: undefined }

const LANES = [
  { lane: 'handoff', title: 'hand-off', what: 'each connection handed over to' },
  { lane: 'relay', title: 'relay', what: 'each request relayed into' },
] as const

/** Where an application can run, with the flags that put it there. */
const TIERS = [
  { tier: 'thread', where: 'a thread of the front', flags: ['--processes', '0'] },
  { tier: 'daemon', where: 'a thread of a daemon', flags: ['--processes', '1'] },
] as const

/** Every way that there is; the first is the bound. */
export function listContenders(): readonly Contender[] {
  const served = TIERS.flatMap(({ tier, where, flags }) => LANES.map(({ lane, title, what }): Contender => ({
    name: `${title}, ${tier}`,
    about: `${what} ${where}`,
    // Not `handoff`: where it cannot be, that row is left out, and says so.
    flags: [...flags, '--lane', lane === 'relay' ? 'relay' : 'auto'],
    lane,
  })))
  return [BARE, ...served]
}
