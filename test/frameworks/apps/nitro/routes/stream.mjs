import { defineHandler } from 'nitro/h3'

export default defineHandler(() => new ReadableStream({
  start(controller) {
    for (const part of ['one ', 'two ', 'three']) controller.enqueue(new TextEncoder().encode(part))
    controller.close()
  },
}))
