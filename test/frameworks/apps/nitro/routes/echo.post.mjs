import { defineHandler, readBody } from 'nitro/h3'

export default defineHandler(async (event) => {
  event.res.status = 201
  return await readBody(event)
})
