import { Buffer } from 'node:buffer'
import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'

/**
 * What Node cannot do with a descriptor: give it a second number, and send it to another process. Nothing here throws:
 * whatever does not work leaves the connection where it is, and the relay serves it.
 */
export interface Descriptors {
  /** A second number for what `fd` names, closed in programs that are started; undefined: there is none to be had. */
  duplicate(fd: number): number | undefined
  /**
   * Sends what `fd` names, with `bytes` beside it, over a Unix socket, and never waits. False: nothing was sent, since
   * the other end is behind or gone, or the kernel holds too many on their way. The own `fd` stays open.
   */
  send(socket: number, fd: number, bytes: Uint8Array): boolean
  /** What `send` sent, closed in programs that are started; undefined: nothing is there, or it came without a descriptor. */
  receive(socket: number): { readonly fd: number; readonly bytes: Uint8Array } | undefined
}

/** Bytes beside a descriptor. A few: the kernel takes them all or none. */
export const MOST_BESIDE = 64

/** Functions of the system's C library, and where a buffer lies in memory. Failures are -1. */
interface Native {
  fcntl(fd: number, command: number, argument: number): number
  sendmsg(socket: number, message: bigint, flags: number): number | bigint
  recvmsg(socket: number, message: bigint, flags: number): number | bigint
  address(buffer: Uint8Array): bigint
}

let found: Descriptors | false | undefined

/**
 * By koffi, an optional dependency, else by node:ffi, which Node 26 has (and warns of); loaded here at the first call and
 * not before: koffi takes 6 to 10 ms and 5 MB, node:ffi 1 ms and 2.5 MB; a call of either then 0.2 µs. Only in a main thread.
 * @returns undefined where there is neither, or it does not do what it should, and everywhere but on 64-bit Linux, whose
 *   numbers and layouts these are
 */
export function openDescriptors(): Descriptors | undefined {
  found ??= (isKnown() && open()) || false
  return found === false ? undefined : found
}

/** What an earlier call of `openDescriptors` found. */
export function openedDescriptors(): Descriptors | undefined {
  return found === false ? undefined : found
}

function isKnown(): boolean {
  return process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')
}

function open(): Descriptors | undefined {
  for (const load of [byKoffi, byNode]) {
    try {
      const descriptors = new NativeDescriptors(load())
      if (descriptors.work()) return descriptors
    } catch {
      // Not installed, not for this Node, or forbidden by the permission model.
    }
  }
  return undefined
}

const require = createRequire(import.meta.url)

/** The part of koffi's interface that is used; the package may be missing, and its types with it. */
interface Koffi {
  load(library: null): { func(name: string, result: string, parameters: readonly string[]): (...values: unknown[]) => number | bigint }
  address(buffer: Uint8Array): bigint
}

function byKoffi(): Native {
  const koffi = require('koffi') as Koffi
  const library = koffi.load(null)
  return {
    // On Linux's 64-bit platforms a variable argument is passed like any other.
    fcntl: library.func('fcntl', 'int', ['int', 'int', 'int']) as Native['fcntl'],
    sendmsg: library.func('sendmsg', 'intptr_t', ['int', 'void *', 'int']),
    recvmsg: library.func('recvmsg', 'intptr_t', ['int', 'void *', 'int']),
    address: (buffer) => koffi.address(buffer),
  }
}

/** Of node:ffi as Node 26.10 has it. It is experimental: one with other names fails its first call. */
interface NodeFfi {
  dlopen(path: null, functions: object): { readonly functions: Pick<Native, 'fcntl' | 'sendmsg' | 'recvmsg'> }
  getRawPointer(buffer: Uint8Array): bigint
}

function byNode(): Native {
  const ffi = require('node:ffi') as NodeFfi
  const message = { arguments: ['int32', 'pointer', 'int32'], return: 'int64' }
  const { functions } = ffi.dlopen(null, {
    fcntl: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    sendmsg: message,
    recvmsg: message,
  })
  return {
    fcntl: (fd, command, argument) => functions.fcntl(fd, command, argument),
    sendmsg: (socket, address, flags) => functions.sendmsg(socket, address, flags),
    recvmsg: (socket, address, flags) => functions.recvmsg(socket, address, flags),
    address: (buffer) => ffi.getRawPointer(buffer),
  }
}

// Linux, x64 and arm64: <fcntl.h>, <sys/socket.h>, cmsg(3).
const F_GETFD = 1
const F_DUPFD_CLOEXEC = 1030
const FD_CLOEXEC = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x4000_0000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
/** Of one descriptor; a longer field would make room for a second one, which nobody would close. */
const CMSG_LEN = 20

/** Above the standard ones: where whoever looks for 0, 1 or 2 finds no connection. */
const LOWEST = 3

/** Offsets in the memory that is shared with the C library: struct msghdr, iovec, cmsghdr, the bytes. */
const At = { message: 0, vector: 56, control: 72, bytes: 96, end: 96 + MOST_BESIDE } as const

class NativeDescriptors implements Descriptors {
  readonly #native: Native
  /** One for all calls, since none of them waits. Not of Buffer's pool: its address must be its own. */
  readonly #memory = Buffer.alloc(At.end)
  readonly #address: bigint

  constructor(native: Native) {
    this.#native = native
    this.#address = native.address(this.#memory)
  }

  /** Whether it does what it should, tried on a descriptor that is always there. */
  work(): boolean {
    const own = this.duplicate(0) ?? this.duplicate(1) ?? this.duplicate(2)
    if (own === undefined) return false
    const isOwn = this.#native.fcntl(own, F_GETFD, 0) === FD_CLOEXEC
    closeSync(own)
    return isOwn
  }

  duplicate(fd: number): number | undefined {
    const own = this.#native.fcntl(fd, F_DUPFD_CLOEXEC, LOWEST)
    return own < 0 ? undefined : own
  }

  send(socket: number, fd: number, bytes: Uint8Array): boolean {
    if (bytes.byteLength === 0 || bytes.byteLength > MOST_BESIDE) return false
    this.#lay(bytes.byteLength)
    this.#memory.writeBigUInt64LE(BigInt(CMSG_LEN), At.control)
    this.#memory.writeInt32LE(SOL_SOCKET, At.control + 8)
    this.#memory.writeInt32LE(SCM_RIGHTS, At.control + 12)
    this.#memory.writeInt32LE(fd, At.control + 16)
    this.#memory.set(bytes, At.bytes)
    return Number(this.#native.sendmsg(socket, this.#address, MSG_DONTWAIT | MSG_NOSIGNAL)) === bytes.byteLength
  }

  receive(socket: number): { readonly fd: number; readonly bytes: Uint8Array } | undefined {
    this.#lay(MOST_BESIDE)
    this.#memory.fill(0, At.control, At.bytes)
    const length = Number(this.#native.recvmsg(socket, this.#address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
    if (length <= 0) return undefined
    const isDescriptor = this.#memory.readBigUInt64LE(At.control) === BigInt(CMSG_LEN)
      && this.#memory.readInt32LE(At.control + 8) === SOL_SOCKET
      && this.#memory.readInt32LE(At.control + 12) === SCM_RIGHTS
    if (!isDescriptor) return undefined
    return {
      fd: this.#memory.readInt32LE(At.control + 16),
      bytes: new Uint8Array(this.#memory.subarray(At.bytes, At.bytes + length)),
    }
  }

  /** struct msghdr and its one iovec, for so many bytes and one descriptor. */
  #lay(length: number): void {
    const memory = this.#memory
    const address = (offset: number): bigint => this.#address + BigInt(offset)
    memory.fill(0, At.message, At.vector)
    memory.writeBigUInt64LE(address(At.vector), At.message + 16)
    memory.writeBigUInt64LE(1n, At.message + 24)
    memory.writeBigUInt64LE(address(At.control), At.message + 32)
    memory.writeBigUInt64LE(BigInt(CMSG_LEN), At.message + 40)
    memory.writeBigUInt64LE(address(At.bytes), At.vector)
    memory.writeBigUInt64LE(BigInt(length), At.vector + 8)
  }
}
