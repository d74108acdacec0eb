// What every tenant of the soak can do, whatever carries its requests; and what goes wrong in it on demand.

/** A piece of a streamed answer, and how many there are. */
export const PIECE = 16 * 1024
export const PIECES = 8
/** Of an answer that comes in one go. */
export const LARGE = 1024 * 1024

/** Two tenants in one context would see each other's name here. */
export function claim(name) {
  globalThis.owner ??= name
  return globalThis.owner === name ? name : `${name} inside ${globalThis.owner}`
}

const hoard = []

/** Each ends its context, or its request, in its own way. */
export const faults = {
  exit: () => process.exit(3),
  throw: () => setImmediate(() => { throw new Error('thrown on demand') }),
  reject: () => void Promise.reject(new Error('rejected on demand')),
  spin: () => setImmediate(() => { for (;;); }),
  // In steps, as leaks grow: what takes all at once is the business of the hostile suite.
  hoard: () => setInterval(() => hoard.push(Buffer.alloc(8 * 1024 * 1024, 1)), 30),
  hang: () => {},
}
