// No request and response objects here: a task is data in and data out.
import { workerData } from 'piscina'

export default function answer() {
  return { status: 200, headers: { 'content-length': workerData.length }, body: workerData }
}
