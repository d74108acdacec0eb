export default {
  fetch(request, env) {
    const [name] = new URL(request.url).host.split('.')
    return env[name] === undefined ? new Response(null, { status: 421 }) : env[name].fetch(request)
  },
}
