'use strict'

// Wallets that an app brings, and what is remembered of links.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')

const portal = require('../lib.js')
const { startRelay, within } = require('./relay.js')

const HASH = '11'.repeat(32)

function code(expected) {
  return (error) => error instanceof portal.PortalError && error.code === expected
}

/** What an app would write, over a wallet of the simulated network. */
class AppWallet {
  constructor(inner) {
    this.inner = inner
    this.calls = []
    this.ended = 0
  }

  async info() {
    this.calls.push('info')
    return { ...(await this.inner.info()), kind: 'mine', notifies: false }
  }

  balance() {
    return this.inner.balance()
  }

  makeInvoice(order) {
    this.calls.push(order)
    return this.inner.makeInvoice({ ...order, description: order.description ?? undefined })
  }

  lookup(paymentHash) {
    return this.inner.lookup(paymentHash)
  }

  list(query) {
    return this.inner.list({ ...query, outgoing: query.outgoing ?? undefined })
  }

  async pay() {
    throw new portal.WalletFault('unsupported')
  }

  listen(listener) {
    this.listener = listener
  }

  async shutdown() {
    this.ended += 1
  }
}

test('a service takes money with a wallet that the app wrote', async () => {
  const relay = await startRelay()
  const network = portal.SimulatedNetwork.inMemory()
  const inner = network.wallet('merchant', 0n)
  network.wallet('person', 1_000_000n)
  const app = new AppWallet(inner)
  const wallet = portal.Wallet.fromApp(app)
  assert.equal((await wallet.info()).kind, 'mine')
  assert.equal(await wallet.balanceMsat(), 0n)
  const options = { relays: [relay.url], allowPrivateRelays: true }
  const service = await portal.Service.start(portal.Keypair.generate(), options, wallet)
  const person = portal.Keypair.generate()
  const client = await portal.Client.start(person, options)
  await within(30, (async () => {
    const connected = (node) => node.relays().some(({ state }) => state === 'connected')
    while (!connected(service) || !connected(client)) await pause(10)
    const content = { amount: 5000n, currency: 'Millisats', description: 'tea' }
    const stream = await service.requestSinglePayment(person.publicKey().hex, [], content)
    const order = app.calls.find((call) => typeof call === 'object')
    assert.deepEqual([order.amountMsat, order.description], [5000n, 'tea'])
    for await (const request of client.requests()) {
      await network.payInvoice('person', request.body.request.invoice)
      // Told, so that nobody has to ask.
      const [payment] = await inner.list({ since: 0, offset: 0, limit: 10 })
      app.listener.settled(payment)
      break
    }
    for await (const { body } of await service.stream(stream)) {
      if (body.type === 'payment_status_update' && body.status.status === 'paid') break
    }
  })())
  assert.equal(await wallet.balanceMsat(), 5000n)
  await client.shutdown()
  await service.shutdown()
  await wallet.shutdown()
  await wallet.shutdown()
  assert.equal(app.ended, 1)
  await assert.rejects(wallet.balance(), code('shutting_down'))
  await relay.stop()
})

test('what a wallet of the app says wrong is an error, and never a crash', async () => {
  const network = portal.SimulatedNetwork.inMemory()
  const inner = network.wallet('merchant', 0n)
  const said = { value: undefined }
  const odd = new Proxy(new AppWallet(inner), {
    get: (target, name) => (['balance', 'lookup', 'makeInvoice', 'list'].includes(name) ? () => said.value() : target[name]),
  })
  const wallet = portal.Wallet.fromApp(odd)
  const answers = (value) => {
    said.value = value
  }
  const circular = {}
  circular.self = circular
  for (const wrong of [
    () => 7,
    () => ({}),
    () => null,
    () => circular,
    () => ({ amountMsat: -1n, at: 1 }),
    () => ({ amountMsat: '1e3', at: 1 }),
    () => ({ amountMsat: 1n << 70n, at: 1 }),
    () => ({ amountMsat: 2_100_000_000_000_000_001n, at: 1 }),
    () => ({ amountMsat: 1, at: 1 }),
    () => {
      throw new TypeError('secret')
    },
    () => Promise.reject(undefined),
  ]) {
    answers(wrong)
    await assert.rejects(wallet.balance(), (error) => code('wallet_refused')(error) && !error.message.includes('secret'))
  }
  for (const [kind, expected] of [
    ['timeout', 'wallet_unavailable'],
    ['unreachable', 'wallet_unavailable'],
    ['unsupported', 'wallet_unsupported'],
    ['other', 'wallet_refused'],
    ['nonsense', 'wallet_refused'],
  ]) {
    answers(() => Promise.reject(new portal.WalletFault(kind)))
    await assert.rejects(wallet.balance(), code(expected), kind)
  }
  answers(() => Promise.reject(new portal.WalletFault('refused', { code: 'INSUFFICIENT_BALANCE', reason: 'empty' })))
  await assert.rejects(wallet.balance(), code('insufficient_funds'))
  // An invoice over another amount, a payment that was not asked about, a list with rubbish in it.
  const cheap = await inner.makeInvoice({ amountMsat: 1000n, expirySeconds: 60 })
  answers(() => cheap)
  await assert.rejects(wallet.makeInvoice({ amountMsat: 2000n, expirySeconds: 60 }), code('wallet_refused'))
  const payment = {
    paymentHash: HASH,
    outgoing: false,
    state: 'settled',
    preimage: HASH,
    settledAt: 2,
    amountMsat: 1000n,
    feeMsat: 0n,
    createdAt: 1,
  }
  answers(() => payment)
  await assert.rejects(wallet.lookup('22'.repeat(32)), code('wallet_refused'))
  const found = await wallet.lookup(HASH)
  assert.deepEqual([found.state, found.preimage ?? null], ['settled', null], 'a preimage that does not fit is dropped')
  answers(() => [7, null, { ...payment, state: 'odd' }, payment, payment])
  const listed = await wallet.list({ since: 0, offset: 0, limit: 10 })
  assert.deepEqual(listed.map((one) => one.paymentHash), [HASH])
  answers(() => null)
  assert.equal(await wallet.lookup(HASH), null)
  for (const event of ['', '{}', '{"type":"settled"}', 'x'.repeat(1 << 20)]) wallet.appEvent(event)
  await wallet.shutdown()
})

test('a wallet of the app does not keep the process alive', async () => {
  const { spawnSync } = require('node:child_process')
  const script = `
    const { Wallet } = require(${JSON.stringify(path.join(__dirname, '../lib.js'))})
    Wallet.fromApp({ info: () => new Promise(() => {}) })
  `
  const { status, signal } = spawnSync(process.execPath, ['-e', script], { timeout: 20_000 })
  assert.deepEqual([status, signal], [0, null])
})

test('a link with a memory can be used again, and is refused without repeating it', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portal-napi-'))
  const key = '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
  const secret = '11'.repeat(32)
  // Nobody listens there.
  const link = `nostr+walletconnect://${key}?relay=ws://127.0.0.1:9&secret=${secret}`
  const database = path.join(folder, 'link.sqlite')
  for (let run = 0; run < 2; run += 1) {
    const wallet = await portal.Wallet.nwcWith(link, { allowSpending: false, database })
    await wallet.shutdown()
  }
  assert.ok(fs.existsSync(database))
  await assert.rejects(
    (async () => portal.Wallet.nwcWith(link.replace(key, 'nokey'), {}))(),
    (error) => code('invalid_url')(error) && !error.message.includes(secret),
  )
  fs.rmSync(folder, { recursive: true })
})

test('sources of exchange rates are named, and bounded', async () => {
  const keypair = portal.Keypair.generate()
  for (const rates of [['bank'], [''], Array(17).fill('kraken')]) {
    await assert.rejects(portal.Service.start(keypair, { relays: [], rates }), code('invalid_request'))
    await assert.rejects(portal.Client.start(keypair, { relays: [], rates }), code('invalid_request'))
  }
  const wallet = portal.SimulatedNetwork.inMemory().wallet('merchant', 0n)
  const person = portal.Keypair.generate().publicKey().hex
  const euro = { amount: 100n, currency: 'EUR' }
  const without = await portal.Service.start(keypair, { relays: [] }, wallet)
  await assert.rejects(without.requestSinglePayment(person, [], euro), code('not_configured'))
  await without.shutdown()
  // Nobody answers there: it was asked.
  const rates = ['coinbase=http://127.0.0.1:9']
  const service = await portal.Service.start(keypair, { relays: [], rates }, wallet)
  await assert.rejects(service.requestSinglePayment(person, [], euro), code('rate_unavailable'))
  await service.shutdown()
})
