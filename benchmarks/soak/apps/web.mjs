// The work as fetch(request).
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, faults, LARGE, PIECE, PIECES } from './work.mjs'

export function fetcher(name, version) {
  return async (request) => {
    const { pathname } = new URL(request.url)
    if (pathname.startsWith('/fault/')) {
      faults[pathname.slice('/fault/'.length)]?.()
      return await new Promise(() => {})
    }
    if (pathname === '/stream') return new Response(pieces())
    if (pathname === '/upload') return new Response(await digest(request.body))
    if (pathname === '/large') return new Response(Buffer.alloc(LARGE, 'x'))
    return new Response(claim(name), { headers: { 'x-version': String(version) } })
  }
}

function pieces() {
  let left = PIECES
  return new ReadableStream({
    async pull(controller) {
      await sleep(15)
      controller.enqueue(new Uint8Array(PIECE).fill(120))
      left -= 1
      if (left === 0) controller.close()
    },
  })
}

async function digest(body) {
  const hash = createHash('sha256')
  for await (const piece of body) hash.update(piece)
  return hash.digest('hex')
}
