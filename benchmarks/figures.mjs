// Numbers: medians with their spread, and how they are shown.

/** { median, min, max } of a list; undefined when a value is missing. */
export function spread(values) {
  if (values.length === 0 || values.some((value) => value === undefined)) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median, min: sorted[0], max: sorted.at(-1) }
}

export function showSpread(value, digits) {
  if (value === undefined) return '-'
  const show = (number) => number.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return `${show(value.median)} (${show(value.min)}-${show(value.max)})`
}

/** Rows of text as a Markdown table, padded so that a terminal shows it well, too. */
export function table(head, rows) {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column].length)))
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n')
}
