import { createServer } from 'node:http'
import app from '../../../../../servers/app.mjs'

export function create() {
  return createServer(app)
}
