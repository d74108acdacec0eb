import { defineHandler, getQuery, getRequestIP, setCookie } from 'nitro/h3'

export default defineHandler((event) => {
  setCookie(event, 'seen', '1')
  return { ip: getRequestIP(event) ?? null, query: getQuery(event) }
})
