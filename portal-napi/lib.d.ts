import type { InvoiceOrder, PaymentQuery, WalletBalance, WalletDescription, WalletPayment } from './index'

export * from './index'

/** What went wrong, in a word that never changes. */
export type ErrorCode =
  | 'unauthenticated'
  | 'auth_failed'
  | 'rate_limited'
  | 'invalid_request'
  | 'unknown_command'
  | 'invalid_key'
  | 'invalid_url'
  | 'invalid_calendar'
  | 'invalid_amount'
  | 'invalid_time'
  | 'invalid_token'
  | 'invalid_invoice'
  | 'too_large'
  | 'invalid_subkey_proof'
  | 'invalid_mnemonic'
  | 'forbidden_address'
  | 'not_found'
  | 'stream_not_found'
  | 'idempotency_conflict'
  | 'not_configured'
  | 'timeout'
  | 'declined'
  | 'cancelled'
  | 'too_many'
  | 'already_answered'
  | 'relay_unreachable'
  | 'relay_refused'
  | 'not_delivered'
  | 'wallet_unavailable'
  | 'wallet_refused'
  | 'payment_failed'
  | 'payment_pending'
  | 'insufficient_funds'
  | 'wallet_unsupported'
  | 'fee_too_high'
  | 'spending_limit'
  | 'not_refundable'
  | 'rate_unavailable'
  | 'recipient_failed'
  | 'wrong_ticket'
  | 'ticket_spent'
  | 'ticket_pending'
  | 'ticket_locked'
  | 'ticket_expired'
  | 'not_transferable'
  | 'mint_unreachable'
  | 'mint_refused'
  | 'mint_misbehaved'
  | 'mint_unauthorized'
  | 'mint_unsupported'
  | 'key_locked'
  | 'main_key_required'
  | 'storage_failed'
  | 'storage_too_new'
  | 'shutting_down'
  | 'internal'

/** Why a call did not do what it is for. Every call can throw it, or reject with it. */
export declare class PortalError extends Error {
  readonly name: 'PortalError'
  /** What to branch on. */
  readonly code: ErrorCode
  /** The number of the code, the same for ever. */
  readonly number: number
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean
}

/** How a payment ended, as far as an app's wallet knows. */
export type WalletOutcome =
  /** Paid: 64 hex digits whose hash is the payment hash, and what it cost on top. */
  | { status: 'settled'; preimage: string; feeMsat?: bigint }
  /** Under way, or not known. */
  | { status: 'pending' }
  /** Not paid, and it never will be. Only when that is certain. */
  | { status: 'failed'; reason?: string }

/** An invoice that an app's wallet is to pay. */
export interface PayOrder {
  /** BOLT11. */
  invoice: string
  /** 64 hex digits: names the payment. The same one may be ordered again; it must not be paid twice. */
  paymentHash: string
  /** For an invoice without an amount. */
  amountMsat: bigint | null
  /** The most that may be paid on top. */
  maxFeeMsat: bigint | null
  /** Nobody waits longer than this. */
  timeoutSeconds: number
}

/** Why the wallet of an app did not do as asked: throw it, or reject with it. */
export declare class WalletFault extends Error {
  /**
   * `timeout` and `unreachable`: a payment may have been made all the same; so it may with `other`, and with whatever
   * else is thrown. `refused`: nothing was done, only for what is certain. `unsupported`: it cannot do this.
   */
  constructor(
    kind: 'timeout' | 'unreachable' | 'refused' | 'unsupported' | 'other',
    details?: { code?: string; reason?: string },
  )
  readonly kind: string
  /** Of a refusal: `INSUFFICIENT_BALANCE`, `QUOTA_EXCEEDED`, `RESTRICTED` or another. */
  readonly code?: string
  readonly reason?: string
}

/**
 * A Lightning wallet of the app's own.
 *
 * Rules of money: say `settled` only when the wallet's books say so, `failed` and `refused` only when it is certain
 * that no money has moved or will move, and `pending`, `timeout` or `other` when in doubt. Calls may overlap.
 */
export interface LightningWallet {
  /** What it is and can do. Also a test of the connection. */
  info(): Promise<WalletDescription>
  /** What is in it. */
  balance(): Promise<WalletBalance>
  /** Makes an invoice over exactly this amount: BOLT11. */
  makeInvoice(order: Omit<InvoiceOrder, 'description'> & { description: string | null }): Promise<string>
  /** Where a payment stands, either way; nothing when the wallet does not know the hash. */
  lookup(paymentHash: string): Promise<WalletPayment | null | undefined>
  /** Pays an invoice, once for each payment hash. */
  pay(order: PayOrder): Promise<WalletOutcome>
  /** Payments, newest first. */
  list(query: Omit<PaymentQuery, 'outgoing'> & { outgoing: boolean | null }): Promise<WalletPayment[]>
  /** Called once, before anything else: tell this listener what happens in the wallet. */
  listen?(listener: WalletListener): void
  /** Ends connections. The listener hears nothing more. */
  shutdown?(): Promise<void> | void
}

/** Where an app's wallet tells what happens. All of it are hints: twice or not at all does no harm, but costs time. */
export interface WalletListener {
  /** A payment settled, in or out. */
  settled(payment: WalletPayment): void
  /** The wallet can be reached again, and something may have happened meanwhile: it is asked. */
  reconnected(): void
  /** The wallet cannot be reached. */
  disconnected(): void
}

declare module './index' {
  namespace Wallet {
    /** A wallet that the app brings. What it says is checked before anybody relies on it. */
    function fromApp(wallet: LightningWallet): Wallet
  }

  interface Requests {
    /**
     * One request after another, until the client stops. A request is handled when the loop comes
     * back for the next; leaving the loop leaves it, and it is given again.
     */
    [Symbol.asyncIterator](): AsyncGenerator<IncomingRequest, void, undefined>
  }

  interface EventStream {
    /**
     * One event after another, until the stream ends. An event is acknowledged when the loop comes
     * back for the next; leaving the loop leaves it, and it is given again.
     */
    [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined>
  }
}
