// Alby's SDK on both sides of a bridge: its wallet service answers our client, and passes every
// call on with its client to our wallet service. What goes wrong between the two implementations
// in either direction shows in the tests that run over it.
//
// The argument is JSON: { relays, wallets: { name: { link, secret, client } } }. Lines on standard
// output are JSON: { ready }, { notification } and answers. Lines on standard input are calls of
// the client alone: { id, wallet, method, params }. Ends with its standard input.

import readline from 'node:readline'
import { WebSocket } from 'ws'

// Node has one of its own from version 22 on; the SDK takes what is there when it is loaded.
globalThis.WebSocket ??= WebSocket
const { NWCClient, NWCWalletService, NWCWalletServiceKeyPair } = await import('@getalby/sdk/nwc')

const { relays, wallets } = JSON.parse(process.argv[2])
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const METHODS = [
  'get_info', 'get_balance', 'make_invoice', 'pay_invoice', 'lookup_invoice', 'list_transactions',
]
const clients = {}

/** The client's outcome as the service tells it on. */
async function passed(call) {
  try {
    return { result: await call, error: undefined }
  } catch (error) {
    return { result: undefined, error: { code: error.code ?? 'INTERNAL', message: error.message } }
  }
}

for (const [name, { link, secret, client }] of Object.entries(wallets)) {
  const upstream = new NWCClient({ nostrWalletConnectUrl: link })
  clients[name] = upstream
  const service = new NWCWalletService({ relayUrls: relays })
  const keys = new NWCWalletServiceKeyPair(secret, client)

  // The SDK's service has no notifications of its own; wallets that know both ciphers send both.
  await upstream.subscribeNotifications(async (notification) => {
    say({ notification, wallet: name })
    for (const [kind, cipher] of [[23197, 'nip44_v2'], [23196, 'nip04']]) {
      const content = await service.encrypt(keys, JSON.stringify(notification), cipher)
      const template = { kind, created_at: Math.floor(Date.now() / 1000), tags: [['p', client]], content }
      await Promise.any(service.pool.publish(relays, await service.signEvent(template, secret)))
    }
  })
  await service.subscribe(keys, {
    getInfo: () => passed(upstream.getInfo()),
    getBalance: () => passed(upstream.getBalance()),
    makeInvoice: (request) => passed(upstream.makeInvoice(request)),
    payInvoice: (request) => passed(upstream.payInvoice(request)),
    lookupInvoice: (request) => passed(upstream.lookupInvoice(request)),
    listTransactions: (request) => passed(upstream.listTransactions(request)),
  })
  await service.publishWalletServiceInfoEvent(secret, METHODS, ['payment_received', 'payment_sent'])
}
say({ ready: true })

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, wallet, method, params } = JSON.parse(line)
  passed(clients[wallet][method](params)).then((outcome) => say({ id, ...outcome }))
}
process.exit(0)
