// The bound: the application on node:http, nothing else.
import { createServer } from 'node:http'
import app from './app.mjs'

const server = createServer(app)
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
