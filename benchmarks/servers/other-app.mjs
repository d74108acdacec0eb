// A second tenant: whoever serves hosts must give each its own application.
const HELLO = 'Hello, Other!'

export default function app(request, response) {
  response.setHeader('content-length', HELLO.length)
  response.end(HELLO)
}
