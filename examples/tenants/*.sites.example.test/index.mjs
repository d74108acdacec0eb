// One code base for every host below sites.example.test, each host in a context of its own.
let requests = 0

export default {
  fetch(request) {
    const { pathname, host } = new URL(request.url)
    if (pathname === '/about') return new Response(`This is ${host}\n`)
    requests += 1
    return Response.json({ application: 'sites', host, requests, group: process.env.TENANTRY_APPLICATION_GROUP })
  },
}
