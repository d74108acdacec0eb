import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { TestContext } from 'node:test'

/**
 * Fenced blocks of a page that are more than looks. The words after the language say what to do:
 *
 *     ```js run            a program; runs as an ES module in the page's folder (a temporary one)
 *     ```sh run            a shell script; likewise
 *     ```js file=app.mjs   written to that file before the next block runs
 *     ```text output       what the block before it prints, compared exactly; `…` stands for anything within a line
 *
 * All blocks of one page share one folder, in which `tenantry` is this package.
 */
export interface Block {
  readonly language: string
  readonly run: boolean
  readonly output: boolean
  readonly file: string | undefined
  readonly text: string
  /** Of the opening fence, from 1. */
  readonly line: number
}

const LIMIT = 30_000

export function readBlocks(page: string): Block[] {
  if (!existsSync(page)) return []
  const blocks: Block[] = []
  const lines = readFileSync(page, 'utf8').split('\n')
  for (let index = 0; index < lines.length; index += 1) {
    const fence = /^```(\w*) *(.*)$/.exec(lines[index] ?? '')
    if (fence === null) continue
    const end = lines.indexOf('```', index + 1)
    if (end === -1) throw new Error(`${page}:${index + 1}: this block does not end`)
    const words = (fence[2] ?? '').split(/\s+/)
    blocks.push({
      language: fence[1] ?? '',
      run: words.includes('run'),
      output: words.includes('output'),
      file: words.find((word) => word.startsWith('file='))?.slice('file='.length),
      text: `${lines.slice(index + 1, end).join('\n')}\n`,
      line: index + 1,
    })
    index = end
  }
  return blocks
}

export interface Outcome {
  readonly line: number
  readonly printed: string
  /** The output block's text, or '' where the page promises nothing: then the block must print nothing. */
  readonly promised: string
}

/** Runs a page's blocks in order; a block that fails rejects with what it said. */
export async function runBlocks(t: TestContext, page: string): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-docs-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  linkPackages(folder)

  const blocks = readBlocks(page)
  const outcomes: Outcome[] = []
  for (const [index, block] of blocks.entries()) {
    if (block.file !== undefined) {
      mkdirSync(dirname(join(folder, block.file)), { recursive: true })
      writeFileSync(join(folder, block.file), block.text)
    }
    if (!block.run) continue
    const next = blocks[index + 1]
    const promised = next?.output === true ? next.text : ''
    const printed = await runBlock(folder, block, `${page}:${block.line}`)
    outcomes.push({ line: block.line, printed: matches(printed, promised) ? promised : printed, promised })
  }
  return outcomes
}

async function runBlock(folder: string, block: Block, place: string): Promise<string> {
  let command = process.execPath
  let args: string[]
  if (block.language === 'sh') {
    command = 'sh'
    args = ['-euc', block.text]
  } else {
    const file = block.file ?? `block-${block.line}.mjs`
    writeFileSync(join(folder, file), block.text)
    args = [file]
  }
  const env = {
    ...process.env,
    NO_COLOR: '1',
    NODE_TEST_CONTEXT: '',
    PATH: `${join(folder, 'node_modules', '.bin')}:${process.env['PATH'] ?? ''}`,
  }
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd: folder, env, timeout: LIMIT })
    return stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${place} failed:\n${stdout}\n${stderr}`, { cause: error })
  }
}

/** The package under test, its command, and whatever a reader would have installed beside it. */
function linkPackages(folder: string): void {
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '.bin'), { recursive: true })
  symlinkSync(process.cwd(), join(modules, 'tenantry'), 'junction')
  for (const name of ['express', 'fastify', 'koa', 'hono', '@hono']) {
    symlinkSync(join(process.cwd(), 'node_modules', name), join(modules, name), 'junction')
  }
  writeFileSync(
    join(modules, '.bin', 'tenantry'),
    `#!/bin/sh\nexec "${process.execPath}" "${join(process.cwd(), 'dist', 'cli', 'main.js')}" "$@"\n`,
    { mode: 0o755 },
  )
}

/** Equal line by line; `…` in a promised line stands for any text. */
export function matches(printed: string, promised: string): boolean {
  const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return new RegExp(`^${promised.split('…').map(escape).join('.*')}$`).test(printed)
}
