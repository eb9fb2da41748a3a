'use strict'

// The scenario of portal-core/testkit/scenarios, from Node.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')

const portal = require('../lib.js')
const { root, startRelay, within } = require('./relay.js')

class Runner {
  constructor(scenario, relay, folder) {
    this.app = scenario.app
    this.relay = relay
    this.folder = folder
    this.network = portal.SimulatedNetwork.inMemory()
    this.wallets = Object.fromEntries(
      Object.entries(scenario.wallets).map(([name, msat]) => [
        name,
        this.network.wallet(name, BigInt(msat)),
      ]),
    )
    this.service_key = portal.Keypair.generate()
    this.client_key = portal.Mnemonic.generate().keypair()
    this.person = this.client_key.publicKey().hex
    this.streams = {}
    this.cursors = {}
  }

  async start({ who }) {
    const options = {
      relays: [this.relay],
      database: path.join(this.folder, `${who}.sqlite`),
      allowPrivateRelays: true,
    }
    this[who] =
      who === 'service'
        ? await portal.Service.start(this.service_key, options, this.wallets.merchant)
        : await portal.Client.start(this.client_key, options)
    while (!this[who].relays().some((relay) => relay.state === 'connected')) await pause(10)
  }

  async stop({ who }) {
    assert.equal(await this[who].shutdown(), true)
  }

  async restart(step) {
    await this.stop(step)
    await this.start(step)
  }

  async make_url() {
    const opened = await this.service.newKeyHandshakeUrl({})
    const parts = portal.parseHandshakeUrl(opened.url)
    assert.equal(parts.mainKey, this.service.mainKey())
    assert.deepEqual(parts.relays, [this.relay])
    this.url = opened.url
    this.open('handshake', opened.streamId)
  }

  async open_url({ url = this.url }) {
    await this.client.sendKeyHandshake(url, this.app)
  }

  async ask_login() {
    this.open('login', await this.service.authenticateKey(this.person, []))
  }

  async ask_payment({ amount_msat, description }) {
    const content = { amount: BigInt(amount_msat), currency: 'Millisats', description }
    this.open('payment', await this.service.requestSinglePayment(this.person, [], content))
    this.asked = content
  }

  async expect_request({ is, same }) {
    const request = await this.client.requests().next()
    assert.equal(request.body.type, is)
    assert.equal(request.serviceKey, this.service.mainKey())
    if (same) assert.equal(request.id, this.request.id)
    if (is === 'payment') {
      assert.equal(request.body.request.amount, this.asked.amount)
      assert.equal(request.body.request.description, this.asked.description)
    }
    this.request = request
  }

  async expect_no_request() {
    assert.equal(await this.client.requests().next(), null)
  }

  async handled() {
    await this.client.requests().handled(this.request.id)
  }

  async approve_login({ hours }) {
    const sessionToken = this.client_key.issueJwt(this.request.serviceKey, hours * 3600)
    await this.client.replyLogin(this.request.id, { status: 'approved', sessionToken })
  }

  async decline_login({ reason }) {
    await this.client.replyLogin(this.request.id, { status: 'declined', reason })
  }

  async reply_payment({ status }) {
    const preimage = status === 'success' ? this.preimage : undefined
    await this.client.replyPayment(this.request.id, { status, preimage })
  }

  async pay({ payer }) {
    const paid = await this.network.payInvoice(payer, this.request.body.request.invoice)
    this.preimage = paid.preimage
  }

  async expect_event({ stream, is, keep }) {
    const events = await this.read(stream)
    const event = await events.next()
    const { type, status } = event.body
    assert.equal(status ? `${type}:${status.status}` : type, is)
    if (type === 'key_handshake') assert.equal(event.body.mainKey, this.person)
    if (is === 'authenticate_key:approved') {
      assert.equal(event.body.userKey, this.person)
      const claims = portal.verifyJwt(event.body.userKey, status.sessionToken)
      assert.equal(claims.targetKey, this.service.mainKey())
    }
    if (keep) return
    events.acknowledge(event.index)
    this.cursors[stream] = events.cursor()
  }

  async expect_end({ stream }) {
    assert.equal(await (await this.read(stream)).next(), null)
  }

  async expect_log({ stream, are }) {
    this.cursors[stream] = undefined
    for (const is of are) await this.expect_event({ stream, is })
    await this.expect_end({ stream })
  }

  async expect_balance({ wallet, msat }) {
    assert.equal(await this.wallets[wallet].balanceMsat(), BigInt(msat))
  }

  open(stream, id) {
    this.streams[stream] = id
    this.cursors[stream] = undefined
  }

  read(stream) {
    return this.service.stream(this.streams[stream], this.cursors[stream])
  }

  async step({ do: action, refused, ...step }) {
    if (!refused) return this[action](step)
    await assert.rejects(this[action](step), (error) => {
      assert.ok(error instanceof portal.PortalError, String(error))
      assert.equal(error.code, refused)
      return true
    })
  }
}

test('a person logs in and pays while both sides restart', async () => {
  const file = path.join(root, 'portal-core/testkit/scenarios/login_pay_restart.json')
  const scenario = JSON.parse(fs.readFileSync(file, 'utf8'))
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'portal-node-'))
  const relay = await startRelay()
  try {
    const runner = new Runner(scenario, relay.url, folder)
    for (const [index, step] of scenario.steps.entries()) {
      await within(scenario.step_seconds, runner.step(step)).catch((cause) => {
        throw new Error(`step ${index + 1}, ${JSON.stringify(step)}: ${cause}`, { cause })
      })
    }
  } finally {
    await relay.stop()
    fs.rmSync(folder, { recursive: true })
  }
})
