import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatDuration, formatSize, parseDuration, parseSize } from '../src/units.ts'

const WRONG_ANYWHERE = [
  '',
  ' ',
  'bogus',
  '1M',
  '-1',
  '-5s',
  '1e3',
  '0x10',
  'NaN',
  'Infinity',
  '1 000',
  '10 mins',
  '١s',
  '5s ',
  NaN,
  Infinity,
  -1,
  0.5,
  2 ** 53,
  null,
  undefined,
  {},
  [],
  true,
  5n,
]

test('a duration is whole milliseconds, or a number with a unit', () => {
  const cases: [number | string, number][] = [
    [0, 0],
    [1500, 1500],
    ['0', 0],
    ['250', 250],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['1.005s', 1005],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['5 s', 5000],
  ]
  for (const [text, expected] of cases) assert.equal(parseDuration(text), expected, String(text))
})

test('a size is whole bytes, or a number with a unit of 1024s, in either spelling', () => {
  const cases: [number | string, number][] = [
    [0, 0],
    ['0', 0],
    [4096, 4096],
    ['12', 12],
    ['1kb', 1024],
    ['1MiB', 1_048_576],
    ['1MB', 1_048_576],
    ['1.5gb', 1_610_612_736],
    ['2tib', 2 * 1024 ** 4],
    ['64 mb', 64 * 1024 ** 2],
  ]
  for (const [text, expected] of cases) assert.equal(parseSize(text), expected, String(text))
})

test('junk is refused with a message that shows it and says what is accepted', () => {
  const wrongDurations = [...WRONG_ANYWHERE, '0.5ms', '1mb', '25d', 2 ** 31, '9'.repeat(1000)]
  for (const value of wrongDurations) {
    assert.throws(() => parseDuration(value as number), {
      code: 'ERR_OPTION_INVALID',
      message: /is not a duration: write .*'30s'/,
    })
  }
  for (const value of [...WRONG_ANYWHERE, '1m', '0.5b', '10g', '99999999tb', '9'.repeat(1000)]) {
    assert.throws(() => parseSize(value as number), {
      code: 'ERR_OPTION_INVALID',
      message: /is not a size: write .*'64mb'/,
    })
  }
  assert.throws(() => parseSize('1M'), { message: /^'1M' is not a size/ })
  assert.throws(
    () => parseDuration('x'.repeat(1e6)),
    (error: Error) => error.message.length < 300,
  )
})

test('any text either parses to a whole number in range or is refused', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{1,9}(\.\d{1,3})? ?[kmgdhs]?[ib]?[bs]?$/)), (text) => {
      for (const parse of [parseDuration, parseSize]) {
        let parsed: number
        try {
          parsed = parse(text)
        } catch (error) {
          assert.equal((error as { code: string }).code, 'ERR_OPTION_INVALID')
          continue
        }
        assert.ok(Number.isSafeInteger(parsed) && parsed >= 0)
      }
    }),
  )
})

test('what is printed reads back as the same number', () => {
  assert.equal(formatDuration(600_000), '10m')
  assert.equal(formatDuration(90_000), '90s')
  assert.equal(formatDuration(0), '0')
  assert.equal(formatSize(268_435_456), '256mb')
  assert.equal(formatSize(1000), '1000b')
  fc.assert(
    fc.property(fc.nat(2_000_000_000), (n) => parseDuration(formatDuration(n)) === n && parseSize(formatSize(n)) === n),
  )
})
