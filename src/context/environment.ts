import type { ContextSpec } from './context.ts'

/** The whole `process.env` of a context: its tenant's, and the names of where it runs. */
export function environmentOf({ env, label, processGroup }: ContextSpec): Record<string, string> {
  return { ...env, TENANTRY_APPLICATION_GROUP: label, TENANTRY_PROCESS_GROUP: processGroup }
}
