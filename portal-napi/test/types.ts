// Compiled, not run: the declarations fit their use.

import { Client, EventStream, Keypair, PortalError, Service, SimulatedNetwork, Wallet, WalletFault } from '..'
import type { LightningWallet } from '..'

export async function sell(service: Service, person: string): Promise<boolean> {
  const id = await service.requestSinglePayment(person, [], { amount: 1000n, currency: 'Millisats' })
  const events: EventStream = await service.stream(id)
  for await (const event of events) {
    if (event.body.type === 'payment_status_update' && event.body.status.status === 'paid') return true
    if (event.body.type === 'ended') console.warn(event.body.code, event.body.reason)
  }
  return false
}

export async function answer(client: Client, keypair: Keypair): Promise<void> {
  try {
    for await (const request of client.requests()) {
      if (request.body.type !== 'login') continue
      const sessionToken = keypair.issueJwt(request.serviceKey, 3600)
      await client.replyLogin(request.id, { status: 'approved', sessionToken })
    }
  } catch (error) {
    if (error instanceof PortalError && error.code === 'timeout') return
    throw error
  }
}

export function start(): Promise<Service> {
  const wallet = SimulatedNetwork.inMemory().wallet('merchant', 0n)
  return Service.start(Keypair.generate(), { relays: [] }, wallet)
}

// @ts-expect-error amounts are bigint
export const wrong = SimulatedNetwork.inMemory().wallet('merchant', 0)

export function own(inner: Wallet): Wallet {
  const app: LightningWallet = {
    info: () => inner.info(),
    balance: () => inner.balance(),
    makeInvoice: ({ amountMsat, expirySeconds }) => inner.makeInvoice({ amountMsat, expirySeconds }),
    lookup: (hash) => inner.lookup(hash),
    pay: async ({ paymentHash }) => {
      if (paymentHash === '') throw new WalletFault('refused', { code: 'RESTRICTED' })
      return { status: 'pending' }
    },
    list: ({ since, offset, limit }) => inner.list({ since, offset, limit }),
    listen: (listener) => listener.reconnected(),
  }
  return Wallet.fromApp(app)
}
