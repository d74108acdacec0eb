import { publish } from './events.ts'

/** What an operator should hear of the process in which a runtime was made. */
export function warnAboutHost({ tenantNice }: { readonly tenantNice: number }): void {
  warnAboutHeapFlag()
  warnAboutNice(tenantNice)
}

/** Threads have priorities of their own on Linux only. */
function warnAboutNice(nice: number): void {
  if (nice === 0 || process.platform === 'linux') return
  publish('tenantry:warning', { message: `tenantNice is ${nice}, but has no effect on ${process.platform}` })
}

/** `--max-old-space-size` on the command line overrides every thread's own limit: the operator should know. */
function warnAboutHeapFlag(): void {
  const flag = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].find((text) => text.includes('--max-old-space-size'))
  if (flag === undefined) return
  publish('tenantry:warning', {
    message: `${flag} applies to every context too: V8 ends the whole process where a context alone would have ended`,
  })
}
