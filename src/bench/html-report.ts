import { barChart, escapeText, latencyChart } from './chart.ts'
import { FIGURES } from './summary.ts'
import { showFigure, showNumber, showRatio } from './text-report.ts'
import type { Figure, FigureName, Row, Summary } from './summary.ts'

/** What is drawn, and what is said above it. */
const CHARTS: readonly (readonly [name: FigureName, title: string])[] = [
  ['cpu', 'CPU of the whole server for each request'],
  ['requestsPerSecond', 'Answers'],
  ['p99', '99 of 100 answers are complete within'],
  ['memory', 'Memory after the load'],
  ['coldStart', 'Cold start: first request for the application'],
]

/** One page with everything in it: no script, no font, nothing from elsewhere. */
export function htmlReport(summary: Summary): string {
  const { entry, rows, requests, settings, machine, notes } = summary
  const title = `What would isolation cost ${nameOf(entry)}?`
  const asked = requests.map(({ method, path, status, bytes }) => `<code>${escapeText(`${method} ${path}`)}</code> (${status}, ${showNumber(bytes, 0)} bytes)`)
  const facts: readonly (readonly [string, string])[] = [
    ['Application', `<code>${escapeText(entry)}</code>`],
    ['Asked', asked.join(', ')],
    ['Load', `${settings.connections} connections; ${settings.rounds} rounds of ${settings.duration / 1000} s after ${settings.warmup / 1000} s of warm-up, in alternating order`],
    ['Machine', escapeText(`${machine.cpu}, ${machine.processors} processors, ${showNumber(machine.memory / 2 ** 30, 1)} GB, ${machine.system}`)],
    ['Versions', escapeText(`Tenantry ${summary.tenantry}, Node ${summary.node}; ${summary.date}`)],
  ]
  const charts = CHARTS.map(([name, caption]) => chart(rows, FIGURES.find((figure) => figure.name === name) as Figure, caption))
  const latencies = latencyChart('Within how many ms answers are complete', rows.map((row, colour) => ({ name: row.name, colour, points: row.latencies })))
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeText(title)}</h1>
<ul class="answer">${rows.slice(1).map((row) => `<li>${sentence(row)}</li>`).join('')}</ul>
<p class="key">Bars are medians over the rounds, the thin line the lowest and the highest of them; <i>×</i> is a row divided by bare, round by round.</p>
<div class="charts">
${[...charts, latencies].join('\n')}
</div>
<h2>Figures</h2>
${table(['', ...FIGURES.map(({ title: name, unit }) => `${name} <span>${unit}</span>`)], rows.map((row) => [row.name, ...FIGURES.map((figure) => showFigure(row, figure))]))}
<h2>Times bare, round by round</h2>
${table(['', ...FIGURES.map(({ title: name }) => name)], rows.slice(1).map((row) => [row.name, ...FIGURES.map(({ name }) => showRatio(row.ratios[name]).replace(' ', '\n'))]))}
<h2>Rows</h2>
<dl>${rows.map(({ name, about }) => `<dt>${escapeText(name)}</dt><dd>${escapeText(about)}</dd>`).join('')}</dl>
<h2>How and where</h2>
<dl>${facts.map(([name, text]) => `<dt>${name}</dt><dd>${text}</dd>`).join('')}</dl>
<ul>${notes.map((note) => `<li>${escapeText(note)}</li>`).join('')}</ul>
</main>
</body>
</html>
`
}

/** The answer in words, for who reads nothing else. */
function sentence({ name, figures, ratios }: Row): string {
  const times = (figure: FigureName): string | undefined => ratios[figure]?.median.toFixed(2)
  const cpu = times('cpu')
  const p50 = figures.p50
  const parts = [
    ...(cpu === undefined ? [] : [`${cpu} times the CPU for each request`]),
    `${times('requestsPerSecond') ?? '-'} times the answers a second`,
    ...(p50 === null ? [] : [`half of the answers within ${showNumber(p50.median, 2)} ms (${times('p50') ?? '-'} times)`]),
  ]
  return `<b>${escapeText(name)}</b>: ${parts.join(', ')}`
}

function chart(rows: readonly Row[], { name, unit, digits, divisor }: Figure, caption: string): string {
  return barChart(caption, unit === '/s' ? 'a second' : unit, digits, rows.map((row, colour) => {
    const found = row.figures[name]
    const ratio = colour === 0 ? undefined : row.ratios[name]?.median
    return {
      name: row.name,
      colour,
      value: found === null ? null : { median: found.median / divisor, min: found.min / divisor, max: found.max / divisor },
      remark: ratio === undefined ? '' : `× ${ratio.toFixed(2)}`,
    }
  }))
}

/** Heads are ours and may hold elements; cells are text, of one line or two. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = ([name = '', ...values]: readonly string[]): string =>
    `<th scope="row">${escapeText(name)}</th>${values.map((value) => `<td>${cellOf(value)}</td>`).join('')}`
  return `<div class="wide"><table><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join('')}</tr></thead>`
    + `<tbody>${rows.map((row) => `<tr>${cells(row)}</tr>`).join('')}</tbody></table></div>`
}

/** A second line, where there is one, is what matters less. */
function cellOf(text: string): string {
  const [first = '', ...more] = text.split('\n').map(escapeText)
  return more.length === 0 ? first : `${first} <span>${more.join(' ')}</span>`
}

/** The file, and its folder where the file's own name says little. */
function nameOf(entry: string): string {
  return entry.split(/[\\/]/).slice(-2).join('/')
}

const STYLE = `
:root { --page: #fff; --text: #1d2126; --soft: #59616b; --rule: #d9dde2;
  --s0: #7a828c; --s1: #2166c4; --s2: #8a4fc0; --s3: #12805c; --s4: #b8560b; --s5: #a3264f; --s6: #4d6b00 }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --text: #e6e9ed; --soft: #a3abb5; --rule: #363c44;
  --s0: #9aa3ad; --s1: #6aa5f5; --s2: #bd92ee; --s3: #45bd93; --s4: #f09a55; --s5: #f0779c; --s6: #a9c54a } }
@media print { :root { --page: #fff; --text: #000; --soft: #444; --rule: #ccc;
  --s0: #7a828c; --s1: #2166c4; --s2: #8a4fc0; --s3: #12805c; --s4: #b8560b; --s5: #a3264f; --s6: #4d6b00 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; print-color-adjust: exact }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 60px }
h1 { font-size: 26px; line-height: 1.25; margin: 8px 0 12px }
h2 { font-size: 17px; margin: 32px 0 8px }
.key, figcaption, dt, .legend { color: var(--soft) }
.answer { padding-left: 20px; margin: 0 0 12px }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 24px 40px }
figure { margin: 0; break-inside: avoid }
figcaption { font-weight: 600; margin-bottom: 4px }
figure > svg { display: block; width: 100%; height: auto }
svg text { font: 14px system-ui, sans-serif; fill: var(--text); dominant-baseline: central }
svg .name { text-anchor: end } svg .remark, svg .tick { fill: var(--soft) }
svg .left { text-anchor: end } svg .below { text-anchor: middle } svg .tick { font-size: 13px }
.spread { stroke: var(--text); stroke-width: 1.2; fill: none } .axis { stroke: var(--soft); fill: none } .grid { stroke: var(--rule); fill: none }
.line { fill: none; stroke-width: 2 }
${[0, 1, 2, 3, 4, 5, 6].map((n) => `.fill.s${n} { fill: var(--s${n}) } .line.s${n} { stroke: var(--s${n}) }`).join('\n')}
.legend { margin: 0 0 6px; display: flex; flex-wrap: wrap; gap: 2px 16px } .legend svg { width: 14px; height: 10px; margin-right: 6px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap }
th:first-child { text-align: left; padding-left: 0 } thead th { vertical-align: bottom; color: var(--soft) } table span { display: block; font-weight: 400; color: var(--soft); font-size: 12px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0 } dd { margin: 0; overflow-wrap: anywhere }
@media print { main { padding: 0; max-width: none } body { font-size: 11pt } }
`
