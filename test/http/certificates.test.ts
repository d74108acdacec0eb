import { test } from 'node:test'
import assert from 'node:assert/strict'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { subscribe } from '../../src/events.ts'
import { resolveCertificate } from '../../src/group/certificate-source.ts'
import { complaintAbout, loadCertificate } from '../../src/http/certificate-file.ts'
import { Certificates } from '../../src/http/certificates.ts'
import { tenantFolder } from '../behaviour/house.ts'
import { pem } from '../behaviour/secure.ts'
import { eventually } from '../behaviour/client.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import type { TestContext } from 'node:test'
import type { ResolvedCertificate } from '../../src/group/certificate-source.ts'

interface Files extends ResolvedCertificate {
  readonly place: (name: string) => Promise<void>
}

async function files(t: TestContext): Promise<Files> {
  const folder = path.join(await tenantFolder(t, { a: { 'cert.pem': pem('one').cert, 'key.pem': pem('one').key } }), 'a')
  const place = async (name: string): Promise<void> => {
    for (const kind of ['cert', 'key']) await copyFile(`test/fixtures/tls/${name}.${kind}.pem`, path.join(folder, `${kind}.pem`))
  }
  return { ...resolveCertificate('tls', { cert: 'cert.pem', key: 'key.pem' }, folder), place }
}

function warnings(t: TestContext): string[] {
  const heard: string[] = []
  t.after(subscribe('tenantry:warning', ({ message }) => heard.push(message)))
  return heard
}

test('a certificate is read once however many ask for it, and is at hand from then on', async (t) => {
  const source = await files(t)
  const certificates = new Certificates(new FakeClock())
  const [first, second] = await Promise.all([certificates.get(source), certificates.get({ ...source })])
  assert.equal(first, second)
  assert.equal(certificates.get(source), first)
  assert.equal(first.leaf.subject, 'CN=one.example.test')
})

test('what is wrong with the certificate of a server is told to who opens it, and to nobody else', async (t) => {
  const source = await files(t)
  const heard = warnings(t)
  await writeFile(source.cert, 'nothing')
  const clock = new FakeClock()
  const certificates = new Certificates(clock)
  await assert.rejects(certificates.hold(source), /no PEM/)
  await certificates.refresh()
  assert.deepEqual(heard, [])
  await source.place('one')
  const first = await certificates.hold(source)
  await writeFile(source.cert, 'nothing')
  await certificates.refresh()
  assert.deepEqual([heard.length, await certificates.get(source)], [1, first])
})

test('nobody waits for a look at files that are a minute old; the next one gets what is in them', async (t) => {
  const source = await files(t)
  const clock = new FakeClock()
  const certificates = new Certificates(clock)
  const first = await certificates.get(source)
  await source.place('one-renewed')
  clock.advance(59_999)
  assert.equal(certificates.get(source), first)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(certificates.get(source), first)
  clock.advance(1)
  assert.equal(certificates.get(source), first)
  await eventually('the new one is there', () => certificates.get(source) !== first)
})

test('after a refresh nobody gets the old one, also where a look was under way; what has not changed stays as it is', async (t) => {
  const source = await files(t)
  const certificates = new Certificates(new FakeClock())
  const first = await certificates.get(source)
  await certificates.refresh()
  assert.equal(await certificates.get(source), first)
  await certificates.refresh()
  const early = certificates.get(source)
  await source.place('one-renewed')
  await certificates.refresh()
  const late = await certificates.get(source)
  assert.equal(late.cert, pem('one-renewed').cert)
  assert.ok([first.cert, late.cert].includes((await early).cert))
})

test('a pair that does not fit, as between two files of a renewal, leaves the old one, until it fits again', async (t) => {
  const heard = warnings(t)
  const source = await files(t)
  const certificates = new Certificates(new FakeClock())
  const first = await certificates.hold(source)
  await copyFile('test/fixtures/tls/one-renewed.cert.pem', source.cert)
  await certificates.refresh()
  assert.equal(await certificates.get(source), first)
  await rm(source.key)
  await certificates.refresh()
  assert.equal(await certificates.get(source), first)
  assert.deepEqual(heard.map((message) => message.replace(/'.*'/, '…')), [
    'the certificate … cannot be used with its key: key values mismatch; the one before it goes on',
    '… cannot be read: ENOENT; the one before it goes on',
  ])
  await source.place('one-renewed')
  await certificates.refresh()
  assert.equal((await certificates.get(source)).cert, pem('one-renewed').cert)
  assert.equal(heard.length, 2)
})

test('one that never worked is not read again at each question, and is tried again soon', async (t) => {
  const heard = warnings(t)
  const source = await files(t)
  const clock = new FakeClock()
  const certificates = new Certificates(clock)
  await writeFile(source.key, 'nothing of the kind')
  const get = async (): Promise<unknown> => await certificates.get(source)
  await assert.rejects(get(), { code: 'ERR_CONFIG' })
  await source.place('one')
  await assert.rejects(get(), { code: 'ERR_CONFIG' })
  clock.advance(2000)
  await get()
  assert.equal(heard.length, 1)
  assert.ok(!heard[0]?.includes('nothing of the kind'))
})

test('a certificate is for the hosts that it names, and for a time', async () => {
  const one = await loadCertificate(pem('one'))
  const sites = await loadCertificate(pem('sites'))
  const today = Date.parse('2030-01-01')
  assert.equal(complaintAbout(one, 'one.example.test', today), undefined)
  assert.equal(complaintAbout(sites, 'any.sites.example.test', today), undefined)
  assert.match(String(complaintAbout(sites, 'a.b.sites.example.test', today)), /is for DNS:\*\.sites\.example\.test, and not for a\.b\.sites/)
  assert.match(String(complaintAbout(one, '127.0.0.1', today)), /and not for 127\.0\.0\.1/)
  assert.match(String(complaintAbout(one, '[::1]', today)), /and not for \[::1\]/)
  assert.equal(complaintAbout(one, undefined, today), undefined)
  assert.match(String(complaintAbout(one, undefined, Date.parse('2200-01-01'))), /expired on Oct 29/)
  assert.match(String(complaintAbout(one, undefined, Date.parse('2020-01-01'))), /is not valid before Nov 22/)
})
