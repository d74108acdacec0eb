import { FIGURES } from './summary.ts'
import type { Figure, Row, Spread, Summary } from './summary.ts'

/** As many as fit into a line; the others' ratios are in the JSON and the page. */
const COMPARED = FIGURES.filter(({ name }) => name !== 'p999' && name !== 'peakMemory')

/** The result for a terminal: figures, then what each is of bare's. */
export function textReport(summary: Summary): string {
  const { rows, requests, settings, machine, notes } = summary
  const asked = requests.map(({ method, path, status, bytes }) => `${method} ${path} (${status}, ${bytes} bytes)`).join(', ')
  const how = `${settings.connections} connections, ${settings.rounds} × ${settings.duration / 1000} s`
  const where = `${machine.cpu}, ${machine.processors} processors, ${machine.system}, Node ${summary.node}, Tenantry ${summary.tenantry}`
  const head = ['', ...FIGURES.map(({ title, unit }) => (unit === '/s' ? `${title}/s` : `${title} ${unit}`))]
  const figures = rows.map((row) => [row.name, ...FIGURES.map((figure) => showFigure(row, figure))])
  const ratios = rows.slice(1).map((row) => [row.name, ...COMPARED.map(({ name }) => showRatio(row.ratios[name]))])
  return [
    `${summary.entry}: ${asked}`,
    how,
    where,
    '',
    ...table([head, ...figures]),
    '',
    'times bare, median (lowest-highest)',
    ...table([['', ...COMPARED.map(({ title }) => title)], ...ratios]),
    '',
    ...notes.map((note) => `* ${note}`),
    '',
  ].join('\n')
}

/** A median as people read it; '-' where this system does not say. */
export function showFigure(row: Row, { name, digits, divisor }: Figure): string {
  const found = row.figures[name]
  return found === null ? '-' : showNumber(found.median / divisor, digits)
}

export function showRatio(ratio: Spread | null): string {
  if (ratio === null) return '-'
  return `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}-${ratio.max.toFixed(2)})`
}

/** The same in every locale: a report is compared with others. */
export function showNumber(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Names to the left, figures to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] as readonly string[]).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) =>
    (column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number))).join('  ').trimEnd())
}
