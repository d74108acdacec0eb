// workerd: workerd.mjs direct|router. `direct`: one worker answers everything. `router`: a worker looks at the host and
// calls another over a service binding, the documented way to have several in one server. `workerd serve` with a
// configuration is how it is run (github.com/cloudflare/workerd, README, "Running workerd").
import { fileURLToPath } from 'node:url'
import workerd from 'workerd'
import { freePort, launch } from './launch.mjs'

const port = await freePort()
const file = fileURLToPath(new URL(`workerd/${process.argv[2]}.capnp`, import.meta.url))
await launch(workerd.default, ['serve', file, '--socket-addr', `http=127.0.0.1:${port}`], { port })
