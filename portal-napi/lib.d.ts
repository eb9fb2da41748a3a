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

declare module './index' {
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
