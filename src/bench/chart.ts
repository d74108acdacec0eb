import { showNumber } from './text-report.ts'
import type { Spread } from './summary.ts'

/** A row of a bar chart. `colour`: the class of its series, 0 and up, the same in every chart. */
export interface Bar {
  readonly name: string
  readonly colour: number
  /** In the chart's unit. null: this system does not say. */
  readonly value: Spread | null
  /** What is written behind the value; '' for nothing. */
  readonly remark: string
}

/** A line of the latency chart: percent and milliseconds. */
export interface Line {
  readonly name: string
  readonly colour: number
  readonly points: readonly (readonly [percent: number, milliseconds: number])[]
}

const WIDTH = 540
const NAME_WIDTH = 134
const VALUE_WIDTH = 136
const BAR = 18
const STEP = 30

let ids = 0

/** Horizontal bars from zero: the median, with the lowest and the highest round as a thin line. */
export function barChart(title: string, unit: string, digits: number, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ value }) => value?.max ?? 0), Number.MIN_VALUE)
  const scale = (value: number): number => (value / most) * (WIDTH - NAME_WIDTH - VALUE_WIDTH)
  const rows = bars.map(({ name, colour, value, remark }, index) => {
    const top = index * STEP + 6
    const middle = top + BAR / 2
    const label = `<text class="name" x="${NAME_WIDTH - 10}" y="${middle}">${escapeText(name)}</text>`
    if (value === null) return `${label}<text class="value" x="${NAME_WIDTH + 6}" y="${middle}">not known on this system</text>`
    const [from, to] = [NAME_WIDTH + scale(value.min), NAME_WIDTH + scale(value.max)]
    const spread = `<path class="spread" d="M${at(from)} ${middle}H${at(to)}M${at(from)} ${middle - 4}v8M${at(to)} ${middle - 4}v8"/>`
    const shown = `${showNumber(value.median, digits)}${remark === '' ? '' : ` <tspan class="remark">${escapeText(remark)}</tspan>`}`
    return `${label}<rect class="fill s${colour}" x="${NAME_WIDTH}" y="${top}" width="${at(Math.max(1, scale(value.median)))}" height="${BAR}" rx="2"/>`
      + `${spread}<text class="value" x="${at(Math.max(to, NAME_WIDTH + scale(value.median)) + 10)}" y="${middle}">${shown}</text>`
  })
  const height = bars.length * STEP + 6
  const axis = `<path class="axis" d="M${NAME_WIDTH} 0V${height}"/>`
  const words = bars.map(({ name, value, remark }) => `${name}: ${value === null ? 'not known' : showNumber(value.median, digits)} ${remark}`.trim())
  return figure(`${title}, ${unit}`, `${words.join('; ')}.`, height, rows.join('') + axis)
}

const LINES = { left: 44, right: 20, top: 12, height: 250, bottom: 46 }

/** Latency by the part of answers that it covers; both axes are logarithmic, so that the last thousandth has room. */
export function latencyChart(title: string, lines: readonly Line[]): string {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value > 0)
  if (values.length === 0) return ''
  const [low, high] = [Math.log10(Math.min(...values) * 0.8), Math.log10(Math.max(...values) * 1.25)]
  const percents = (lines[0] as Line).points.map(([percent]) => percent)
  const rarest = nines(Math.max(...percents))
  const x = (percent: number): number => LINES.left + (nines(percent) / rarest) * (WIDTH - LINES.left - LINES.right)
  const y = (value: number): number => LINES.top + (1 - (Math.log10(value) - low) / (high - low)) * LINES.height
  const floor = LINES.top + LINES.height
  const levels = ticks(low, high).map((value) =>
    `<path class="grid" d="M${LINES.left} ${at(y(value))}H${WIDTH - LINES.right}"/><text class="tick left" x="${LINES.left - 8}" y="${at(y(value))}">${value}</text>`)
  const columns = percents.filter((percent) => [50, 90, 99, 99.9, 99.99].includes(percent)).map((percent) =>
    `<path class="grid" d="M${at(x(percent))} ${LINES.top}V${floor}"/><text class="tick below" x="${at(x(percent))}" y="${floor + 16}">${percent}</text>`)
  const curves = lines.map(({ colour, points }) => {
    const known = points.filter(([, value]) => value > 0)
    const path = known.map(([percent, value], index) => `${index === 0 ? 'M' : 'L'}${at(x(percent))} ${at(y(value))}`).join('')
    const dots = known.map(([percent, value]) => `<circle class="fill s${colour}" cx="${at(x(percent))}" cy="${at(y(value))}" r="3"/>`)
    return `<path class="line s${colour}" d="${path}"/>${dots.join('')}`
  })
  const names = `<text class="tick below" x="${WIDTH / 2}" y="${floor + 36}">percent of all answers</text>`
  const words = lines.map(({ name, points }) =>
    `${name}: ${points.filter(([percent]) => [50, 99, 99.9].includes(percent)).map(([percent, value]) => `p${percent} ${showNumber(value, 2)} ms`).join(', ')}`)
  const legend = `<p class="legend">${lines.map(({ name, colour }) =>
    `<span><svg viewBox="0 0 14 10" aria-hidden="true"><rect class="fill s${colour}" width="14" height="10" rx="2"/></svg>${escapeText(name)}</span>`).join('')}</p>`
  return figure(title, `${words.join('; ')}.`, floor + LINES.bottom, [...levels, ...columns, ...curves, names].join(''), legend)
}

/** 0.30 for 50 percent, 1 for 90, 2 for 99: as far to the right as an answer is rare. */
function nines(percent: number): number {
  return -Math.log10(1 - percent / 100)
}

/** 1, 2 and 5 of every decade between two logarithms. */
function ticks(low: number, high: number): number[] {
  const decades = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, index) => Math.floor(low) + index)
  return decades.flatMap((decade) => [1, 2, 5].map((step) => Number((step * 10 ** decade).toPrecision(1))))
    .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high)
}

/** `description`: the chart in words, for who does not see it. */
function figure(title: string, description: string, height: number, content: string, legend = ''): string {
  const id = `chart-${++ids}`
  return `<figure><figcaption>${escapeText(title)}</figcaption>${legend}<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}">`
    + `<title id="${id}">${escapeText(`${title}. ${description}`)}</title>${content}</svg></figure>`
}

function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}

/** Text for a page, in an element or between double quotes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
