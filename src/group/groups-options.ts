import type { Clock } from '../clock.ts'
import type { ContextSpec, CreateContext, CreateSpare } from '../context/context.ts'
import type { AdmissionLimits } from './admission.ts'

/** What the groups of one process are held to, and what makes their contexts. */
export interface GroupsOptions extends AdmissionLimits {
  /** Of the whole process, bytes; 0 is off. Past it idle groups go and none is born. */
  readonly maxMemory: number
  /** Bytes that the process holds; never throws. */
  readonly residentMemory: () => number
  /** Milliseconds. */
  readonly queueTimeout: number
  /** Milliseconds. */
  readonly drainTimeout: number
  readonly createContext: CreateContext
  /** Of clients on connections that are handed to contexts. */
  readonly pace?: ContextSpec['pace']
  /** Contexts that are kept started without a tenant; default none. */
  readonly spares?: number
  readonly createSpare?: CreateSpare
  /** Births wait while it says no; `resume()` looks again. Default: they never do. */
  readonly mayStart?: () => boolean
  /** A lease has become a connection in a context: what is asked on it is told by `onHandedUse`. */
  readonly onHandedOver?: () => void
  /** So many requests were served since the last look on connections that were handed over. */
  readonly onHandedUse?: (requests: number) => void
  /**
   * Has what contexts do on such connections told anew, where it is not seen at once; undefined: as fresh as it can be.
   * Never rejects.
   */
  readonly look?: () => Promise<void> | undefined
  /** A client, whose address this is, asked for another context's host on a connection that was handed over. */
  readonly onMisdirected?: (peer: string) => void
  readonly clock: Clock
  /** 0 to 1, for jitter; default Math.random. */
  readonly random?: () => number
}
