// The least that an idle application in a process is.
import { createServer } from 'node:http'

const { default: app } = await import(process.argv[2])
const server = createServer(app)
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.on('disconnect', () => process.exit())
