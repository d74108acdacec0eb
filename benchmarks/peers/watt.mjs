// Platformatic Watt: watt.mjs gateway|entry. `gateway`: two applications told apart by host, as its gateway does it
// (proxy.hostname: docs.platformatic.dev/docs/reference/gateway/configuration). `entry`: the one application is the
// entrypoint and listens itself, so that nothing is routed. `wattpm start` with NODE_ENV=production is how it is run in
// production (docs.platformatic.dev/docs/guides/deployment/dockerize-a-watt-app); logger.level as in
// docs.platformatic.dev/docs/guides/logging: 'error' instead of a line for each request.
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, launch, newerNode } from './launch.mjs'

const command = path.join(path.dirname(createRequire(import.meta.url).resolve('wattpm/package.json')), 'bin/cli.js')
const port = await freePort()
await launch(newerNode(), [command, 'start'], {
  cwd: fileURLToPath(new URL(`watt/${process.argv[2]}`, import.meta.url)), port, env: { PORT: String(port), PLT_DISABLE_UPDATE_CHECK: 'true' },
})
