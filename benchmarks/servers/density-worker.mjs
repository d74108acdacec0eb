// The least that an idle application in a thread is.
import { parentPort, workerData } from 'node:worker_threads'

await import(workerData)
parentPort.on('message', () => {})
parentPort.postMessage('here')
