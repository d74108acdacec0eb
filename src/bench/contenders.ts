/** One way in which the application is served. */
export interface Contender {
  readonly name: string
  /** For people: what stands between client and application. */
  readonly about: string
  /** Flags of `serve`; undefined: node:http itself. */
  readonly flags: readonly string[] | undefined
}

const BARE: Contender = { name: 'bare', about: 'node:http in a process of its own', flags: undefined }

/** Where an application can run, with the flags that put it there. */
const TIERS = [
  { tier: 'thread', where: 'a thread of the front', flags: ['--processes', '0'] },
  { tier: 'daemon', where: 'a thread of a daemon', flags: ['--processes', '1'] },
] as const

/** Every way that is measured; the first is the bound. */
export function listContenders(): readonly Contender[] {
  const served = TIERS.map(({ tier, where, flags }): Contender => ({
    name: `relay, ${tier}`,
    about: `each request relayed into ${where}`,
    flags,
  }))
  return [BARE, ...served]
}
