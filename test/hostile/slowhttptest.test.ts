import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { THREADS, Siege, skip as elsewhere } from './siege.ts'

const isInstalled = spawnSync('slowhttptest', ['-h']).error === undefined
const skip = elsewhere === false && !isInstalled ? 'slowhttptest is not installed' : elsewhere

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(THREADS) })
after(() => siege?.close())

const run = promisify(execFile)

/** Debian's tool, its modes, and what else each of them needs. */
const MODES: Readonly<Record<string, readonly [path: string, ...flags: string[]]>> = {
  'slow heads (slowloris)': ['/', '-H', '-i', '1'],
  'slow bodies (R.U.D.Y.)': ['/read', '-B', '-i', '1', '-s', '8192'],
  'slow reads': ['/endless', '-X', '-n', '1', '-w', '10', '-y', '20', '-z', '32', '-k', '3'],
}

for (const [name, [path, ...flags]] of Object.entries(MODES)) {
  test(`slowhttptest: healthy clients are served beside ${name}`, { skip }, async (t) => {
    const attack = (seconds: number) => async ({ port }: Siege): Promise<void> => {
      const url = `http://127.0.0.1:${port}${path}`
      const { stdout } = await run('slowhttptest', [...flags, '-c', '300', '-r', '300', '-l', String(seconds), '-u', url])
      assert.match(stdout, /slow HTTP test status/i)
    }
    await siege.withstands(t, { warmUp: attack(1), attack: attack(2) })
  })
}
