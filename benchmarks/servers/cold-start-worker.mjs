// The least that any cold start in a thread is: a worker that imports the application and says how long that took.
import * as module from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'

const { entry, cache } = workerData
if (cache !== undefined) module.enableCompileCache(cache)
const since = performance.now()
await import(entry)
parentPort.postMessage(performance.now() - since)
