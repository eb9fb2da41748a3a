'use strict'

// What the hand-written layer adds: errors, iteration, types.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')

const portal = require('../lib.js')
const { startRelay, within } = require('./relay.js')

function isPortalError(code, retryable = false) {
  return (error) => {
    assert.ok(error instanceof portal.PortalError && error instanceof Error)
    assert.deepEqual([error.name, error.code, error.retryable], ['PortalError', code, retryable])
    assert.ok(!error.message.includes('{'))
    return true
  }
}

test('errors carry a code, thrown or rejected', async () => {
  assert.throws(() => portal.Keypair.parse('nsec1'), isPortalError('invalid_key'))
  assert.throws(() => portal.parsePublicKey(''), isPortalError('invalid_request'))
  const keypair = portal.Keypair.generate()
  await assert.rejects(
    portal.Service.start(keypair, { relays: ['https://example.com'] }),
    isPortalError('invalid_url'),
  )
  assert.throws(() => new portal.Service(), /static methods/)
  const service = await portal.Service.start(keypair, { relays: [] })
  const content = { amount: 1n, currency: 'Millisats' }
  const person = portal.Keypair.generate().publicKey()
  await assert.rejects(
    service.requestSinglePayment(person.npub, [], content),
    isPortalError('not_configured'),
  )
  for (const amount of [0n, -1n, 1n << 70n]) {
    await assert.rejects(
      service.requestSinglePayment(person.hex, [], { ...content, amount }),
      isPortalError('invalid_request'),
    )
  }
  await assert.rejects(service.stream('nothing'), isPortalError('stream_not_found'))
  await service.shutdown()
  await assert.rejects(
    service.authenticateKey(person.hex, []),
    isPortalError('shutting_down', true),
  )
})

test('a loop acknowledges what it comes back from', async () => {
  const relay = await startRelay()
  const options = { relays: [relay.url], allowPrivateRelays: true }
  const [merchant, person] = [portal.Keypair.generate(), portal.Keypair.generate()]
  const service = await portal.Service.start(merchant, options)
  const client = await portal.Client.start(person, options)
  const connected = (node) => node.relays().some(({ state }) => state === 'connected')
  await within(20, (async () => {
    while (!connected(service) || !connected(client)) await pause(10)
    const login = await service.authenticateKey(person.publicKey().hex, [])
    for await (const request of client.requests()) {
      assert.equal(request.body.type, 'login')
      break
    }
    const answering = (async () => {
      let seen = 0
      for await (const request of client.requests()) {
        seen += 1
        await client.replyLogin(request.id, { status: 'declined', reason: 'no' })
      }
      return seen
    })()
    const events = await service.stream(login)
    for await (const { body } of events) assert.equal(body.status.reason, 'no')
    assert.equal(events.cursor(), 0)
    while (client.requests().all().length > 0) await pause(10)
    await client.shutdown()
    assert.equal(await answering, 1, 'the one that was left by `break` came again')
  })())
  await service.shutdown()
  await relay.stop()
})

test('waiting ends when the service stops', async () => {
  const service = await portal.Service.start(portal.Keypair.generate(), { relays: [] })
  const person = portal.Keypair.generate().publicKey().hex
  const events = await service.stream(await service.authenticateKey(person, []))
  const waiting = assert.rejects(events.next(), isPortalError('shutting_down', true))
  await service.shutdown()
  await within(20, waiting)
})

test('secrets are not shown by inspection', () => {
  const { inspect } = require('node:util')
  const keypair = portal.Keypair.generate()
  const shown = inspect(keypair, { depth: 9, showHidden: true, getters: true })
  assert.ok(!shown.includes(keypair.nsec()))
})

test('the declared codes are those there are', () => {
  const declared = fs.readFileSync(path.join(__dirname, '../lib.d.ts'), 'utf8')
  const words = [...declared.matchAll(/^ {2}\| '(\w+)'$/gm)].map(([, word]) => word)
  assert.deepEqual(words, portal.errorCodes())
})
