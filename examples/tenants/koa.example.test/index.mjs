// Koa: middleware, a stream, and listen().
import Koa from 'koa'
import { Readable } from 'node:stream'

const app = new Koa()
let requests = 0

app.use(async (ctx, next) => {
  requests += 1
  await next()
})

app.use((ctx) => {
  if (ctx.path === '/stream') {
    ctx.type = 'text'
    ctx.body = Readable.from(['one\n', 'two\n', 'three\n'])
  } else if (ctx.path === '/') {
    ctx.body = { application: 'koa', requests, group: process.env.TENANTRY_APPLICATION_GROUP }
  }
})

app.listen(4000)
