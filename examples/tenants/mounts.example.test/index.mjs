// One host, two applications: this one at /, blog.mjs at /blog. They share one context, and so one global.
import { count } from '../../shared/counter.mjs'

export default function handle(request, response) {
  const { GREETING, TENANTRY_APPLICATION_GROUP } = process.env
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({
    application: 'mounts', greeting: GREETING, requests: count(), group: TENANTRY_APPLICATION_GROUP, url: request.url,
  }))
}
