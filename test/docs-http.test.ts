import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import assert from 'node:assert/strict'

const PAGE = readFileSync('docs/http.md', 'utf8')

/** The cells of a table below a heading, without its two head lines. */
function rows(heading: string): string[][] {
  const section = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return section.split('\n').filter((line) => line.startsWith('|')).slice(2)
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}

test('every feature in docs/http.md names test files that exist and hold tests', () => {
  const features = rows('Features')
  assert.ok(features.length > 15)
  for (const [feature, , , tests] of features) {
    const files = [...(tests ?? '').matchAll(/`(test\/[\w./-]+\.test\.ts)`/g)].map(([, file]) => file as string)
    assert.notEqual(files.length, 0, `${feature} names a test`)
    for (const file of files) {
      assert.ok(existsSync(file), `${feature}: ${file}`)
      assert.match(readFileSync(file, 'utf8'), /^ *test\(/m, file)
    }
  }
})

test('every difference in docs/http.md says both sides and why', () => {
  const differences = rows('Differences')
  assert.ok(differences.length > 5)
  for (const cells of differences) {
    assert.equal(cells.length, 4, cells.join(' | '))
    for (const cell of cells) assert.notEqual(cell, '', cells.join(' | '))
  }
})
