// Who closes a number twice closes what somebody else has opened in between. Witnesses open files all the time, each
// with an inode of its own, and look before they close them whether their number still names it.
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILES = 64
/** At every turn: the more numbers pass through their hands, the likelier the one that is closed a second time. */
const AT_ONCE = 8

export class Witnesses {
  #files
  #open = []
  #confused = []
  #turns = 0

  constructor(folder) {
    this.#files = Array.from({ length: FILES }, (_, index) => {
      const path = join(folder, `witness-${index}`)
      writeFileSync(path, '')
      return path
    })
    this.#open = this.#files.map(openWitness)
  }

  /** The oldest are closed, and take the lowest numbers that are free. */
  turn() {
    const turned = Array.from({ length: AT_ONCE }, () => this.#turns++ % FILES)
    for (const index of turned) this.#end(index)
    for (const index of turned) this.#open[index] = openWitness(this.#files[index])
  }

  #end(index) {
    const { fd, inode } = this.#open[index]
    if (this.#compare(fd, inode)) closeSync(fd)
  }

  #compare(fd, inode) {
    const found = inodeOf(fd)
    if (found === inode) return true
    this.#confused.push(`turn ${this.#turns}: number ${fd} was closed by somebody else, and ${found === undefined ? 'is free' : 'names something else'}`)
    return false
  }

  /** All at once; what was found so far. */
  look() {
    this.#open.forEach(({ fd, inode }) => this.#compare(fd, inode))
    return this.#confused
  }
}

function openWitness(path) {
  const fd = openSync(path, 'r')
  return { fd, inode: inodeOf(fd) }
}

function inodeOf(fd) {
  try {
    return fstatSync(fd).ino
  } catch {
    return undefined
  }
}
