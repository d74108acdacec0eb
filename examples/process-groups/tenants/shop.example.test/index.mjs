let requests = 0

export default (request, response) => {
  response.setHeader('content-type', 'application/json')
  const answer = JSON.stringify({ host: 'shop', pid: process.pid, uid: process.getuid?.(), requests: ++requests })
  if (request.url !== '/slowly') return response.end(answer)
  // Half of the answer now, the other half when somebody has looked.
  response.write(answer.slice(0, 10))
  setTimeout(() => response.end(answer.slice(10)), 5000)
}
