let requests = 0

export default (request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ host: 'front', pid: process.pid, uid: process.getuid?.(), requests: ++requests }))
}
