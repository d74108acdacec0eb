import { createServer } from 'node:http'
import app from '../../../../../servers/other-app.mjs'

export function create() {
  return createServer(app)
}
