import { publish } from '../events.ts'
import { destroyResponse } from '../connection/error-reply.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../context/context.ts'
import type { SendDeadlines } from '../connection/send-deadlines.ts'

/**
 * Answers of one context that are complete, and that their clients have not taken yet. Their requests are over, so
 * maxInFlight no longer counts them: what bounds their memory is that the oldest is cut, and their time `sendTimeout`.
 */
class UnreadAnswers {
  readonly #context: Context
  /** In the order in which they were completed. */
  readonly #answers = new Map<ServerResponse, number>()
  #bytes = 0

  constructor(context: Context) {
    this.#context = context
  }

  add(res: ServerResponse): void {
    const bytes = res.writableLength
    this.#answers.set(res, bytes)
    this.#bytes += bytes
    res.once('close', () => this.#forget(res))
    const { bufferLimit } = this.#context.spec.limits
    for (const [oldest] of this.#answers) {
      if (bufferLimit === 0 || this.#bytes <= bufferLimit) return
      this.cut(oldest, `its clients leave more than bufferLimit (${bufferLimit} bytes) unread`)
    }
  }

  cut(res: ServerResponse, why: string): void {
    this.#forget(res)
    destroyResponse(res)
    const { label } = this.#context.spec
    publish('tenantry:warning', { label, message: `An answer of '${label}' was cut: ${why}` })
  }

  #forget(res: ServerResponse): void {
    this.#bytes -= this.#answers.get(res) ?? 0
    this.#answers.delete(res)
  }
}

const unread = new WeakMap<Context, UnreadAnswers>()

/** Counts a complete answer until its client has it, if there is anything left of it. */
export function countUnread(context: Context, req: IncomingMessage, res: ServerResponse, sends: SendDeadlines): void {
  if (res.writableLength === 0) return
  let answers = unread.get(context)
  if (answers === undefined) unread.set(context, (answers = new UnreadAnswers(context)))
  const counted = answers
  sends.watchRest(req, res, { label: context.spec.label, onLate: ({ message }) => counted.cut(res, message) })
  counted.add(res)
}
