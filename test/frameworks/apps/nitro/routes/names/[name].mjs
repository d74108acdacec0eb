import { defineHandler, getRouterParam, HTTPError } from 'nitro/h3'

export default defineHandler((event) => {
  const name = getRouterParam(event, 'name')
  if (name === 'nobody') throw new HTTPError({ status: 404, message: 'no such name' })
  return `hello ${name}`
})
