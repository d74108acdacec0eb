import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'

/** One import or re-export in a source file. `types`: it is erased, and costs nothing at run time. */
export interface Import {
  readonly specifier: string
  readonly types: boolean
  /** For an own file, its path below src/ with forward slashes; else undefined. */
  readonly target: string | undefined
}

export interface SourceFile {
  /** Below src/, with forward slashes: 'group/registry.ts'. */
  readonly path: string
  readonly bytes: number
  readonly text: string
  readonly imports: readonly Import[]
}

/** A layer: the folder's name, or 'root' for a file that stands in src/ itself. */
export function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : 'root'
}

const STATEMENT = /^\s*(import|export)\s+(type\s+)?[^'";]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'/gm
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*[,)]/g

/** Blanks comments, so that an example in a comment is no import. Line structure stays. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/^\s*\/\/.*$/gm, '')
}

export function readImports(path: string, source: string): Import[] {
  const text = withoutComments(source)
  const make = (specifier: string, types: boolean): Import => ({
    specifier,
    types,
    target: specifier.startsWith('.') ? posix.normalize(posix.join(dirname(path), specifier)) : undefined,
  })
  const found = [...text.matchAll(STATEMENT)].map((match) => make(match[3] ?? match[4] ?? '', match[2] !== undefined))
  // `import('x').Thing` in a type position is erased as well, but nobody here writes types like that.
  return [...found, ...[...text.matchAll(DYNAMIC)].map((match) => make(match[1] ?? '', false))]
}

/** Every TypeScript file below `root`, sorted by path. */
export function readTree(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => {
      const path = relative(root, file).split(sep).join('/')
      const text = readFileSync(file, 'utf8')
      return { path, text, bytes: Buffer.byteLength(text), imports: readImports(path, text) }
    })
    .sort((a, b) => a.path.localeCompare(b.path))
}

/** The files that loading `entry` loads: itself and what it imports at run time, and so on. */
export function reachable(files: readonly SourceFile[], entry: string): SourceFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const seen = new Set<string>()
  const queue = [entry]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const file = byPath.get(path)
    if (file === undefined || seen.has(path)) continue
    seen.add(path)
    for (const { types, target } of file.imports) if (!types && target !== undefined) queue.push(target)
  }
  return files.filter((file) => seen.has(file.path))
}
