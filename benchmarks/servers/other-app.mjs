// A second tenant: whoever serves hosts must give each its own application.
export default function app(request, response) {
  response.end('Hello, Other!')
}
