import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { PROGRAMS } from './programs.ts'
import { testPrograms } from './programs-at-work.ts'

test('docs/security.md has exactly these programs, each with its outcome', async () => {
  const page = await readFile('docs/security.md', 'utf8')
  const section = page.split('\n### Hostile programs\n')[1]?.split(/\n##+ /)[0] ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('|')).slice(2)
  const cell = (text: string): string => (text.includes('`') ? text : `\`${text}\``)
  assert.deepEqual(rows, PROGRAMS.map(({ name, outcome, client, inDaemon }) =>
    `| ${cell(name)} | ${outcome} | contained | ${client}${inDaemon === undefined ? '' : `; in a daemon ${inDaemon}`} |`))
})

testPrograms('thread')
