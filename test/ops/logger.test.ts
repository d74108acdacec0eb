import { test } from 'node:test'
import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createLogger, DEFAULT_LOGGER, openLogger } from '../../src/ops/logger.ts'

function written(t: { after(run: () => void): void }, isTTY: boolean, env: NodeJS.ProcessEnv, fields: object = { label: 'a' }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-log-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'out')
  const fd = openSync(path, 'w')
  t.after(() => closeSync(fd))
  createLogger({ level: 'info' }, { isTTY, fd }, env).info(fields, 'hello')
  return readFileSync(path, 'utf8')
}

test('off a terminal a line is JSON with the time as text', (t) => {
  const line = JSON.parse(written(t, false, {})) as Record<string, unknown>
  assert.deepEqual({ ...line, time: null }, { level: 30, time: null, label: 'a', msg: 'hello' })
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/)
})

test('on a terminal a line is for people, in colours unless NO_COLOR is set', (t) => {
  const colour = written(t, true, {})
  assert.match(colour, /\u001b\[\d+m/)
  const plain = written(t, true, { NO_COLOR: '1' })
  assert.match(plain, /INFO.*hello.*"label":"a"/, 'fields stand behind the message, in its line')
  assert.doesNotMatch(plain, /\u001b/)
})

test('what caused an error is said once in its message, and stands in its stack', (t) => {
  const cause = new Error('no such thing')
  const error = new Error('It could not be loaded: no such thing', { cause })
  const { err } = JSON.parse(written(t, false, {}, { err: error })) as { err: { message: string; stack: string } }
  assert.equal(err.message, 'It could not be loaded: no such thing')
  assert.match(err.stack, /caused by: Error: no such thing/)
})

test('false is no log, a logger is used as it is, and the default is made once', () => {
  assert.equal(openLogger(false), undefined)
  const mine = pino({ enabled: false })
  assert.equal(openLogger(mine), mine)
  assert.equal(openLogger(DEFAULT_LOGGER), openLogger(DEFAULT_LOGGER))
  assert.equal(openLogger({ level: 'warn' })?.level, 'warn')
})
