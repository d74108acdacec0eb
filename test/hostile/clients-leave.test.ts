import { after, before, test } from 'node:test'
import { EXCHANGES, leaveWithin, leaveWithinAnswer } from './leaving-clients.ts'
import { Siege, skip, THREADS } from './siege.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(THREADS) })
after(() => siege?.close())

for (const [name, request] of Object.entries(EXCHANGES)) {
  test(`a client may leave at every byte of ${name}`, { skip }, async (t) => {
    await siege.withstands(t, leaveWithin(request))
  })
}

for (const path of ['/', '/pieces'] as const) {
  test(`a client may leave at every byte of the answer to ${path}`, { skip }, async (t) => {
    await siege.withstands(t, await leaveWithinAnswer(siege, path))
  })
}
