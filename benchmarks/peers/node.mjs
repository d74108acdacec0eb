// A peer that is a program on node:http: node.mjs NAME runs programs/NAME.mjs. Most of them no longer support Node 20 (the
// answers of undici-thread-interceptor never end there), so they get the newest long-term line where it is installed.
import { fileURLToPath } from 'node:url'
import { freePort, launch, newerNode } from './launch.mjs'

const port = await freePort()
await launch(newerNode(), [fileURLToPath(new URL(`programs/${process.argv[2]}.mjs`, import.meta.url)), String(port)], { port })
