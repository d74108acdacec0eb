// Three hosts: one in a thread of this process, two in a daemon, which runs as another user where we are root.
import { createRuntime } from 'tenantry'

const user = process.env.DAEMON_USER ?? (process.getuid?.() === 0 ? 'nobody' : undefined)

const runtime = createRuntime({
  tenants: `${import.meta.dirname}/tenants`,
  // On this lane, what is safe to repeat is run again when its daemon dies under it.
  lane: 'relay',
  // A tenant names its process group in its tenant.json; without one it is this process.
  processGroups: { shops: { user, umask: '027', memoryLimit: '512mb' } },
})

const server = await runtime.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`listening on http://127.0.0.1:${server.address().port}`)

process.once('SIGTERM', () => runtime.close())
