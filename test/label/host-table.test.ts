import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { HostTable } from '../../src/label/host-table.ts'

/** Every tenth is a wildcard. */
function tableOf(size: number): HostTable<number> {
  const table = new HostTable<number>()
  for (let index = 0; index < size; index++) table.set(index % 10 === 9 ? `*.w${index}.test` : `h${index}.test`, index)
  return table
}

/** Nanoseconds of one look-up, the best of many rounds: what is slower was somebody else's work. */
function best(table: HostTable<number>, asked: readonly string[]): number {
  const bytes = asked.map((host) => Buffer.from(host))
  let least = Infinity
  for (let round = 0; round < 200; round++) {
    const hosts = Array.from({ length: 500 }, (_, index) => (bytes[index % bytes.length] as Buffer).toString('latin1'))
    const since = performance.now()
    for (const host of hosts) table.match(host)
    least = Math.min(least, (performance.now() - since) * 2000)
  }
  return least
}

test('a host, a wildcard and an unknown host are found among a million as fast as among ten', () => {
  const small = tableOf(10)
  const large = tableOf(1_000_000)
  const asked = {
    host: ['h0.test', 'h5.test'], wildcard: ['a.w9.test', 'a.b.w9.test'], unknown: ['no.test', `${'a.'.repeat(120)}test`],
  }
  for (const [kind, hosts] of Object.entries(asked)) {
    assert.deepEqual(hosts.map((host) => large.match(host)), hosts.map((host) => small.match(host)))
    const ratio = best(large, hosts) / best(small, hosts)
    // Five times is no measurement: a walk through the table would be 100,000.
    assert.ok(ratio < 5, `${kind}: ${ratio} times`)
  }
})
