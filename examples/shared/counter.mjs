// A global, as careless as any: two programs in one Node would count together.
globalThis.requests ??= 0

export function count() {
  globalThis.requests += 1
  return globalThis.requests
}
