import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { TenantryError } from '../../src/errors.ts'
import { createLabel } from '../../src/label/expand.ts'
import { readFacts, type RequestHead } from '../../src/label/head.ts'
import type { LabelPort } from '../../src/label/request-facts.ts'

/** One request that a real Apache with mod_wsgi answered; text is latin-1. */
interface Case {
  readonly id: string
  readonly label: string
  readonly serverName: string
  readonly labelPort: LabelPort
  readonly acceptingPort: number
  readonly mount?: string
  readonly request: string
  readonly status: 200 | 400
  readonly group: string | null
}

const cases = JSON.parse(readFileSync('test/fixtures/oracle/labels.json', 'utf8')) as readonly Case[]

/** What Node's parser would hand over; lenient, so that nothing but label/ refuses. */
function parseHead(text: string, acceptingPort: number): RequestHead {
  const [line = '', ...fields] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n')
  const [, method = '', url = '', major, minor] = /^(\S+) (.*) HTTP\/(\d)\.(\d)$/.exec(line) ?? []
  const rawHeaders = fields.flatMap((field) => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon), field.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]
  })
  return { method, url, rawHeaders, acceptingPort, httpVersionMajor: Number(major), httpVersionMinor: Number(minor) }
}

function answer(one: Case, head: RequestHead): { status: number; group: string | null } {
  const { serverName, labelPort } = one
  try {
    const label = createLabel(one.label, { serverName, labelPort, environment: {} })
    return { status: 200, group: label(readFacts(head), one.mount ?? '').shown }
  } catch (error) {
    if (error instanceof TenantryError && error.code === 'ERR_HOST_INVALID') return { status: 400, group: null }
    throw error
  }
}

test('the recording holds 421 cases', () => {
  assert.equal(cases.length, 421)
})

test('every recorded request gets the group or the refusal that the recording states', () => {
  const wrong = cases.flatMap((one) => {
    const got = answer(one, parseHead(one.request, one.acceptingPort))
    const same = got.status === one.status && got.group === one.group
    return same ? [] : [{ id: one.id, expected: [one.status, one.group], got: [got.status, got.group] }]
  })
  assert.deepEqual(wrong, [])
})

test("every recorded request gets the same answer through Node's own parser", async (t) => {
  let current = cases[0] as Case
  const server = http.createServer((req, res) => {
    const { method = '', url = '', rawHeaders, httpVersionMajor, httpVersionMinor } = req
    const got = answer(current, {
      method, url, rawHeaders, httpVersionMajor, httpVersionMinor, acceptingPort: current.acceptingPort,
    })
    res.writeHead(got.status, { connection: 'close' }).end(got.group ?? '')
  })
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const wrong: unknown[] = []
  for (const one of cases) {
    current = one
    const [status, body] = await ask(port, one.request)
    if (status !== one.status || (status === 200 && body !== one.group)) wrong.push({ id: one.id, status, body })
  }
  assert.deepEqual(wrong, [])
})

async function ask(port: number, request: string): Promise<[number, string]> {
  const socket = net.connect(port, '127.0.0.1')
  socket.setEncoding('latin1')
  socket.write(request, 'latin1')
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  const end = text.indexOf('\r\n\r\n')
  const chunked = /\r\ntransfer-encoding: chunked/i.test(text.slice(0, end))
  const body = text.slice(end + 4)
  return [Number(text.slice(9, 12)), chunked ? body.split('\r\n')[1] ?? '' : body]
}
