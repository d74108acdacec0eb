import { after, before, test } from 'node:test'
import { Siege, skip, THREADS } from './siege.ts'
import { SLOW_CLIENTS, slowAttack } from './slow-clients.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(THREADS) })
after(() => siege?.close())

for (const [name, client] of Object.entries(SLOW_CLIENTS)) {
  test(`two hundred clients may ${name}`, { skip }, async (t) => {
    await siege.withstands(t, slowAttack(client))
  })
}
