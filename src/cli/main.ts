#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../clock.ts'
import { openLogger } from '../ops/logger.ts'
import { createRuntime, describeTenants, explain } from '../runtime.ts'
import { run } from './program.ts'
import { EXIT } from './world.ts'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const { code, stuck } = await run(process.argv.slice(2), {
  version: manifest.version,
  program: fileURLToPath(import.meta.url),
  cwd: process.cwd(),
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
  clock: systemClock,
  openLogger,
  createRuntime,
  describe: describeTenants,
  explain,
})

// A thread that cannot be ended also hangs process.exit(): only a signal with its default effect ends this process.
if (stuck) process.kill(process.pid, code > EXIT.signal ? code - EXIT.signal : 'SIGTERM')
// Not before the last line is out: where stdout is written asynchronously, exit() would cut it.
else process.stdout.write('', () => process.exit(code))
