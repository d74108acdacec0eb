// Numbers: what is measured, medians with their spread, and how they are shown.

const MEGABYTE = 2 ** 20

/** Each figure of a load: its title in tables, its digits, whether it is compared, and its value from one round. */
export const figures = {
  requests: { title: 'requests/s', digits: 0, ratio: true, of: ({ load }) => load.requests / load.seconds },
  megabytes: { title: 'MB/s', digits: 0, ratio: true, of: ({ load, megabytes }) => megabytes(load) / load.seconds },
  cpu: { title: 'CPU µs/request', digits: 1, ratio: true, of: ({ load, cpu }) => (cpu === undefined ? undefined : (cpu * 1e6) / load.requests) },
  front: { title: 'of the main thread', digits: 1, of: ({ load, front }) => (front === undefined ? undefined : (front * 1e6) / load.requests) },
  p50: { title: 'p50 ms', digits: 2, ratio: true, of: ({ load }) => load.p50 },
  p99: { title: 'p99 ms', digits: 2, ratio: true, of: ({ load }) => load.p99 },
  // Against the warm server, since that is what transfers go on adding. A cold bare server takes some 40 MB for its
  // first transfers as well, before its first collections: that is shown beside it, for every contender.
  memory: { title: 'growth MB', digits: 1, of: ({ peak, warm }) => (peak === undefined ? undefined : (peak - warm) / MEGABYTE) },
  coldMemory: { title: 'from cold MB', digits: 1, of: ({ peak, cold }) => (peak === undefined ? undefined : (peak - cold) / MEGABYTE) },
}

/** The named figures as a table's columns. */
export function columnsOf(...names) {
  return names.map((key) => {
    const { title, digits, ratio = false } = figures[key]
    return { key, title, digits, ratio }
  })
}

/** { median, min, max } of a list; undefined when a value is missing. */
export function spread(values) {
  if (values.length === 0 || values.some((value) => value === undefined)) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median, min: sorted[0], max: sorted.at(-1) }
}

/** A spread, or one number that was read once. */
export function showValue(value, digits) {
  if (value === undefined || value === null) return '-'
  const show = (number) => number.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return typeof value === 'number' ? show(value) : `${show(value.median)} (${show(value.min)}-${show(value.max)})`
}

/** Rows of text as a Markdown table, padded so that a terminal shows it well, too. */
export function table(head, rows) {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column].length)))
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n')
}
