// `next build`, and what its documentation wants copied beside a standalone server.
import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const folder = import.meta.dirname
const cli = createRequire(import.meta.url).resolve('next/dist/bin/next')
const { status } = spawnSync(process.execPath, [cli, 'build'], {
  cwd: folder, stdio: 'inherit', env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
})
if (status !== 0) process.exit(1)
const standalone = path.join(folder, '.next/standalone/next')
cpSync(path.join(folder, 'public'), path.join(standalone, 'public'), { recursive: true })
cpSync(path.join(folder, '.next/static'), path.join(standalone, '.next/static'), { recursive: true })
