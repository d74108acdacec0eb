import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { eventually } from '../behaviour/client.ts'
import { folder, record, startSource } from './start.ts'

/** Every way to write to a descriptor by its number. */
const WRITES = `
  import fs, { writeSync } from 'node:fs'
  import { promisify } from 'node:util'
  const bytes = Buffer.from('[bytes]')
  const said = [
    writeSync(1, 'text é\\n'), fs.writeSync(1, 'c3a9', null, 'hex'), fs.writeSync(1, bytes, 1, 5), fs.writeSync(1, bytes, { offset: 1, length: 2 }),
    fs.writeSync(1, '\\n'), fs.writevSync(1, [bytes, Buffer.from('\\n')]), fs.writeSync(2, 'to stderr\\n'),
  ]
  fs.writeFileSync(1, 'whole file\\n')
  fs.appendFileSync(2, Buffer.from('appended\\n'))
  said.push(await new Promise((resolve) => fs.write(1, bytes, (error, written, same) => resolve([error ?? null, written, same === bytes]))))
  said.push((await promisify(fs.write)(1, ' later\\n')).bytesWritten, (await promisify(fs.writev)(1, [Buffer.from('many\\n')])).bytesWritten)
  await new Promise((resolve) => fs.createWriteStream(null, { fd: 1, autoClose: false }).end('streamed\\n', resolve))
`

test('what is written to descriptors 1 and 2 by number becomes the lines of the tenant', async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const context = startSource(t, `${WRITES}; console.log(JSON.stringify(said)); console.log('last'); export default (req, res) => res.end()`)
  await context.ready
  await eventually('the last line', () => lines.some(({ line }) => line === 'last'))
  const of = (wanted: string): string[] => lines.filter(({ stream }) => stream === wanted).map(({ line }) => line)
  assert.deepEqual(of('stdout'), [
    'text é', 'ébytesby', '[bytes]', 'whole file', '[bytes] later', 'many', 'streamed',
    '[8,2,5,2,1,8,10,[null,7,true],7,5]', 'last',
  ])
  await eventually('both lines of stderr', () => of('stderr').length === 2)
  assert.deepEqual(of('stderr'), ['to stderr', 'appended'])
})

test('the same program says the same on a process of its own', (t) => {
  const file = path.join(folder(t), 'app.mjs')
  writeFileSync(file, `${WRITES}; console.log(JSON.stringify(said))`)
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 10_000 })
  assert.deepEqual([stdout, stderr], [
    'text é\nébytesby\n[bytes]\nwhole file\n[bytes] later\nmany\nstreamed\n[8,2,5,2,1,8,10,[null,7,true],7,5]\n',
    'to stderr\nappended\n',
  ])
})

test("a write to any other descriptor is Node's own", async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const file = path.join(folder(t), 'written.txt')
  const context = startSource(t, `
    import fs from 'node:fs'
    const fd = fs.openSync(${JSON.stringify(file)}, 'w')
    fs.writeSync(fd, 'one ')
    fs.appendFileSync(fd, 'two ')
    fs.writevSync(fd, [Buffer.from('three')])
    fs.write(fd, ' four', () => { fs.closeSync(fd); console.log(fs.readFileSync(new URL(${JSON.stringify(pathToFileURL(file).href)}), 'utf8')) })
    for (const wrong of [-1, 99999, '1']) try { fs.writeSync(wrong, 'x') } catch (error) { console.log(error.code) }
    export default (req, res) => res.end()`)
  await context.ready
  await eventually('four lines', () => lines.length === 4)
  assert.deepEqual(lines.map(({ line }) => line), ['ERR_OUT_OF_RANGE', 'EBADF', 'ERR_INVALID_ARG_TYPE', 'one two three four'])
})
