import { OPTION_NAMES, OPTIONS, type OptionName } from '../src/options.ts'

const START = '<!-- options: written from src/options.ts -->'
const END = '<!-- end of options -->'

/** The generated part of docs/options.md. */
export function renderOptions(): string {
  const rows = OPTION_NAMES.map((name) => {
    const { doc, accepts, standard, reason } = OPTIONS[name]
    return `| \`${name}\` | ${cell(doc)} | ${cell(accepts)} | ${cell(standard)} | ${cell(reason)} |`
  })
  return [START, '', '| Option | Meaning | Accepts | Default | Why |', '|---|---|---|---|---|', ...rows, '', END].join('\n')
}

/** The page with its generated part made new. */
export function renderPage(page: string): string {
  const start = page.indexOf(START)
  const end = page.indexOf(END)
  if (start < 0 || end < start) throw new Error(`docs/options.md has no ${START} … ${END}`)
  return page.slice(0, start) + renderOptions() + page.slice(end + END.length)
}

/** The sentence that stands at each option's type in src/options.ts. */
export function typeComments(source: string): Map<OptionName, string> {
  const body = /interface ResolvedOptions \{([^]*?)\n\}/.exec(source)?.[1] ?? ''
  const found = [...body.matchAll(/\/\*\* (.*) \*\/\n {2}readonly (\w+):/g)]
  return new Map(found.map((match) => [match[2] as OptionName, match[1] as string]))
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
