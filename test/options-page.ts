import { readFileSync, writeFileSync } from 'node:fs'
import assert from 'node:assert/strict'
import { PROCESS_GROUP_OPTION_NAMES, PROCESS_GROUP_OPTIONS } from '../src/process-group-options.ts'
import { OPTION_NAMES, OPTIONS } from '../src/option-table.ts'
import { type OptionName } from '../src/options.ts'

const START = '<!-- written from the source -->'
const END = '<!-- end of what is written from the source -->'

/**
 * Holds the table of a page against the source, in both directions: every row must be there, and no other.
 * With UPDATE_DOCS=1 in the environment the table is written instead.
 */
export function checkTable(path: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const page = readFileSync(path, 'utf8')
  const [start, end] = [page.indexOf(START), page.indexOf(END)]
  assert.ok(start >= 0 && end > start, `${path} has no ${START} … ${END}`)
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(escape).join(' | ')} |`)
  const fresh = `${page.slice(0, start)}${START}\n\n${lines.join('\n')}\n\n${page.slice(end)}`
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(path, fresh)
  else assert.equal(page, fresh, `${path} is behind the source: run this test with UPDATE_DOCS=1`)
}

export function optionRows(): string[][] {
  return OPTION_NAMES.map((name) => {
    const { doc, accepts, standard, reason } = OPTIONS[name]
    return [`\`${name}\``, doc, accepts, standard, reason]
  })
}

export function processGroupRows(): string[][] {
  return PROCESS_GROUP_OPTION_NAMES.map((name) => {
    const { doc, accepts, standard, reason } = PROCESS_GROUP_OPTIONS[name]
    return [`\`${name}\``, doc, accepts, standard, reason]
  })
}

/** The sentence that stands at each option's type in src/options.ts. */
export function typeComments(source: string): Map<OptionName, string> {
  const body = /interface ResolvedOptions \{([^]*?)\n\}/.exec(source)?.[1] ?? ''
  const found = [...body.matchAll(/\/\*\* (.*) \*\/\n {2}readonly (\w+):/g)]
  return new Map(found.map((match) => [match[2] as OptionName, match[1] as string]))
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|')
}
