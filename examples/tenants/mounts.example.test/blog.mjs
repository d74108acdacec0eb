// Mounted at /blog: it sees the url below its mount, and the mount itself in baseUrl, as a router in Express does.
import { count } from '../../shared/counter.mjs'

export default function handle(request, response) {
  const group = process.env.TENANTRY_APPLICATION_GROUP
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({
    application: 'blog', requests: count(), group, url: request.url, baseUrl: request.baseUrl,
  }))
}
