/** Payments: single, of a given invoice, recurring, out and back. */
import type { Timestamp } from '../timestamp.js';
import type { CallOptions } from './config.js';
import type { SubscriptionSchedule } from './subscriptions.js';

/** The unit of Lightning amounts. */
export enum Currency {
  Millisats = 'Millisats',
}

/** `Currency.Millisats`, or a fiat code such as `"EUR"`; fiat amounts are in hundredths, whatever the currency. */
export type PaymentCurrency = Currency | string;

/** An exchange rate that was used. */
export interface ExchangeRate {
  rate: number;
  source: string;
  time: Timestamp | string | number;
}

/** How often a recurring payment is due. */
export interface RecurrenceInfo {
  /** The last moment, if it ends by date. */
  until?: Timestamp;
  /** `"monthly"`, `"weekly"`, … or a calendar expression. */
  calendar: string;
  /** How many payments, if it ends by number. */
  max_payments?: number;
  first_payment_due: Timestamp;
}

/** What the person is asked to agree to. */
export interface RecurringPaymentRequestContent {
  amount: number;
  currency: PaymentCurrency;
  recurrence: RecurrenceInfo;
  description?: string;
  current_exchange_rate?: ExchangeRate;
  expires_at: Timestamp;
  auth_token?: string;
  /** Lets the daemon charge it, and says how; `{}` is enough. Without it you run the schedule. */
  schedule?: SubscriptionSchedule;
}

/** What the person agreed to. */
export interface RecurringPaymentConfirmed {
  status: 'confirmed';
  subscription_id: string;
  authorized_amount: number;
  authorized_currency: PaymentCurrency;
  authorized_recurrence: RecurrenceInfo;
}

/** That the person did not agree. */
export interface RecurringPaymentRejected {
  status: 'rejected';
  reason?: string;
}

/** How the person answered. */
export type RecurringPaymentStatus = RecurringPaymentConfirmed | RecurringPaymentRejected;

/** The answer to a recurring payment; what was confirmed is also found at the top level. */
export interface RecurringPaymentResponseContent {
  request_id: string;
  status: RecurringPaymentStatus;
  /** Present when confirmed. */
  subscription_id?: string;
  /** Present when confirmed. */
  authorized_amount?: number;
  /** Present when confirmed. */
  authorized_currency?: PaymentCurrency;
  /** Present when confirmed. */
  authorized_recurrence?: RecurrenceInfo;
  /** The stream of the subscription, which names it; present when confirmed and the daemon charges it. */
  schedule_stream_id?: string;
}

/** A payment for which the daemon makes the invoice. */
export interface SinglePaymentRequestContent {
  description: string;
  amount: number;
  currency: PaymentCurrency;
  /** The subscription that this payment belongs to. */
  subscription_id?: string;
  auth_token?: string;
  /** An id of your own, by which the wallet recognises a repeated request. */
  request_id?: string;
}

/** A payment of an invoice that you bring. */
export interface InvoicePaymentRequestContent {
  amount: number;
  currency: PaymentCurrency;
  description: string;
  subscription_id?: string;
  auth_token?: string;
  current_exchange_rate?: ExchangeRate;
  expires_at?: Timestamp;
  invoice?: string;
  /** An id of your own; a random one is used when it is missing. */
  request_id?: string;
}

/** The words of a payment's status. */
export type InvoiceStatusName =
  | 'paid'
  | 'timeout'
  | 'error'
  | 'user_approved'
  | 'user_success'
  | 'user_failed'
  | 'user_rejected';

/** A step of a payment. Only `paid` means that the money is there. */
export interface InvoiceStatus {
  status: InvoiceStatusName;
  preimage?: string;
  reason?: string;
  /** `paid` after the request had already ended otherwise. */
  late?: boolean;
}

/** An invoice that somebody else is asked to make. */
export interface RequestInvoiceParams {
  amount: number;
  currency: PaymentCurrency;
  expires_at: Timestamp;
  description?: string;
  refund_invoice?: string;
  request_id?: string;
}

/** An invoice that somebody else made. */
export interface InvoiceResponse {
  invoice: string;
  payment_hash: string | null;
}

/** That a person (or their wallet) ended a subscription. */
export interface CloseRecurringPaymentNotification {
  reason: string | null;
  subscription_id: string;
  main_key: string;
  recipient: string;
}

/** The daemon's own wallet. */
export interface WalletInfo {
  /** Such as `nwc`, `breez` or `simulated`. */
  wallet_type: string;
  balance_msat: number;
  /** When the wallet said so. Older daemons do not tell. */
  balance_at?: Timestamp;
  /** Whether the wallet could not be asked now, so that the balance is that of `balance_at`. */
  stale?: boolean;
  /** `bitcoin`, `testnet`, `signet` or `regtest`, when the wallet says. */
  network?: string | null;
  /** Whether it keeps the fees of a payment within a bound that it is given. */
  caps_fees?: boolean;
}

/** How an invoice is paid: within which bounds, and like every call. */
export interface PayInvoiceOptions extends CallOptions {
  /** For an invoice that names no amount. */
  amount_msat?: number;
  /** The most that may be paid on top; what is configured when absent. */
  max_fee_msat?: number;
  /** Try again what had failed for good. */
  retry?: boolean;
}

/** Within which bounds an invoice is paid. */
export interface PayInvoiceBounds {
  /** For an invoice that names no amount. */
  amount_msat?: number;
  /** The most that may be paid on top; what is configured when absent. */
  max_fee_msat?: number;
  /** Try again what had failed for good. */
  retry?: boolean;
}

/** What of a payment goes back. */
export interface RefundContent {
  /** All that is left of the payment when absent. */
  amount_msat?: number;
  /** For the person. */
  description?: string;
  /** How long the person has to give an invoice; a day when absent. */
  expires_at?: Timestamp;
}

/** The money has gone back. */
export interface Refunded {
  /** The stream of the payment. */
  payment: string;
  amount_msat: number;
  fees_paid_msat: number;
  preimage: string;
}

/** A payment that the daemon's wallet made. */
export interface PayInvoiceResult {
  /** Its hash is the payment hash of the invoice. */
  preimage: string;
  /** What it cost on top. */
  fees_paid_msat: number;
}

/** From where to listen, and like every call. */
export interface ListenOptions extends CallOptions {
  /** The index of the last event that was dealt with; from now on when absent. */
  after?: number;
}

/** Somebody paid one of the daemon's Lightning addresses. */
export interface LightningAddressPayment {
  /** Its place among these payments: give the last one that was dealt with as `after` when listening again. */
  index?: number;
  /** What stands before the `@`. */
  name: string;
  /** What came. */
  amount_msat: number;
  /** What was paid. */
  invoice: string;
  payment_hash: string;
  /** Its hash is the payment hash; absent when the wallet does not say. */
  preimage?: string;
}

/** A payment in the books of the daemon's wallet. */
export interface WalletPayment<Moment = Timestamp> {
  /** Whether it comes or goes. */
  direction: 'incoming' | 'outgoing';
  /** Only what is settled is there, or gone. */
  state: 'pending' | 'settled' | 'failed';
  /** Without fees. */
  amount_msat: number;
  /** Of one that left. */
  fees_paid_msat: number;
  /** Null unless settled. */
  settled_at: Moment | null;
}
