import { createLabel } from '../../src/label/expand.ts'
import { checkOption } from '../../src/options.ts'
import type { TenantDefaults } from '../../src/group/resolve-tenant.ts'

/** The runtime's own checks, with limits that no test depends on by accident. */
export const DEFAULTS: TenantDefaults = {
  startupTimeout: 1001, memoryLimit: 64 * 1024 ** 2, bufferLimit: 1007, cpuTimeLimit: 1002, deadlockTimeout: 1003, maxRequests: 4, maxAge: 1005, terminateTimeout: 1006,
  trimTimeout: 1012, handlerTimeout: 1007, idleTimeout: 1008, bodyLimit: 1009, maxInFlight: 10, maxQueue: 11,
  applicationGroup: '%{HOST}',
  processGroup: '',
  createLabel: (spec) => createLabel(spec, { serverName: 'localhost', labelPort: 'accepting', environment: {} }),
  checkLimit: checkOption,
}
