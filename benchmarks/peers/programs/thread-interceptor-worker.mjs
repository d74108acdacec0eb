import { parentPort, workerData } from 'node:worker_threads'
import { wire } from 'undici-thread-interceptor'

const { default: app } = await import(workerData)
wire({ server: app, port: parentPort })
