/** p50, p99 and the largest of a list of numbers, by nearest rank. */
export function percentiles(values) {
  if (values.length === 0) return {}
  const sorted = Float64Array.from(values).sort()
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]
  return { p50: at(0.5), p99: at(0.99), most: sorted.at(-1) }
}
