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

/** The name of each test of a file as it is written, and what stands in its place where it is made of parts. */
function namesIn(source: string): string[][] {
  return [...source.matchAll(/^ *(?:await t\.)?test\((['"`])/gm)].map((call) => {
    const parts = ['']
    for (let at = call.index + call[0].length, depth = 0; depth > 0 || source[at] !== call[1]; at++) {
      if (call[1] === '`' && source.startsWith('${', at) && depth++ === 0) parts.push('')
      else if (depth > 0 && source[at] === '}') depth--
      else if (depth === 0) parts[parts.length - 1] += source[at] === '\\' ? (source[++at] as string) : (source[at] as string)
      if (depth > 0 && source.startsWith('${', at)) at++
    }
    return parts
  })
}

/** Whether the file holds a test of that name; what fills a gap in a written name stands somewhere else in the file. */
function holds(source: string, name: string): boolean {
  return namesIn(source).some((parts) => {
    const pattern = new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('(.*)')}$`)
    const gaps = pattern.exec(name)?.slice(1)
    return gaps?.every((gap) => gap.split(' ').every((word) => source.includes(word))) === true
  })
}

test('every feature in docs/http.md names tests that exist, each by its name and its file', () => {
  const features = rows('Features')
  assert.ok(features.length > 15)
  for (const [feature, , , tests] of features) {
    const files = [...(tests ?? '').matchAll(/`(test\/[\w./-]+\.test\.ts)`((?:,? \*[^*]+\*)+)/g)]
    assert.notEqual(files.length, 0, `${feature} names a test`)
    assert.equal(tests, files.map(([text]) => text).join('; '), `${feature}: a file and its tests, and nothing else`)
    for (const [, file, names] of files as unknown as [string, string, string][]) {
      assert.ok(existsSync(file), `${feature}: ${file}`)
      const source = readFileSync(file, 'utf8')
      for (const [, name] of names.matchAll(/\*([^*]+)\*/g)) assert.ok(holds(source, name as string), `${file} has no test '${name}'`)
    }
  }
})

test('a name is found as it is written, as it is put together, and not otherwise', () => {
  const source = [
    "test('as \\'written\\'', () => {})",
    "const names = ['one', 'two']",
    '  test(`of ${name}${more ? `, with ${more.length} more` : \'\'} made`, async () => {})',
  ].join('\n')
  for (const name of ["as 'written'", 'of one made', 'of two made']) assert.ok(holds(source, name), name)
  for (const name of ['as written', 'of three made', 'of one', 'one']) assert.ok(!holds(source, name), name)
})

test('every difference in docs/http.md says both sides and why', () => {
  const differences = rows('Differences')
  assert.ok(differences.length > 5)
  for (const cells of differences) {
    assert.equal(cells.length, 4, cells.join(' | '))
    for (const cell of cells) assert.notEqual(cell, '', cells.join(' | '))
  }
})
