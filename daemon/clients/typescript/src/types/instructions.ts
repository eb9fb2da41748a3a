/** Payment instructions: whatever a person pastes or scans to be paid, or to pay. */
import type { Timestamp } from '../timestamp.js';

/** A BOLT11 invoice, alone or in a URI: pay it. */
export interface InvoiceInstruction<Moment = Timestamp> {
  kind: 'invoice';
  /** BOLT11. */
  invoice: string;
  /** 64 hex digits. */
  payment_hash: string;
  /** Null when the payer chooses. */
  amount_msat: number | null;
  /** For the payer. */
  description: string | null;
  /** When it ends. */
  expires_at: Moment;
}

/** An LNURL-pay or a Lightning address: choose an amount and pay it there. */
export interface LnurlPayInstruction {
  kind: 'lnurl_pay';
  /** The host that makes the invoice. */
  host: string;
  /** The least. */
  min_msat: number;
  /** The most. */
  max_msat: number;
  /** In the recipient's words. */
  description: string;
  /** The longest comment, in characters; 0 when none is taken. */
  comment_length: number;
}

/** An LNURL-withdraw: money is offered. */
export interface LnurlWithdrawInstruction {
  kind: 'lnurl_withdraw';
  /** The host that pays. */
  host: string;
  /** The least. */
  min_msat: number;
  /** The most. */
  max_msat: number;
  /** In the host's words. */
  description: string;
}

/** Something that can be read but not paid, such as a BOLT12 offer or an on-chain address. */
export interface UnpayableInstruction {
  kind: 'cannot_pay';
  /** What it is. */
  what: string;
  /** What it asks for, when it says. */
  amount_msat: number | null;
}

/** What an instruction asks for. */
export type PaymentInstruction<Moment = Timestamp> =
  | InvoiceInstruction<Moment>
  | LnurlPayInstruction
  | LnurlWithdrawInstruction
  | UnpayableInstruction;

/** How an instruction is paid. */
export interface PayInstructionContent {
  /** Needed where the payer chooses. */
  amount_msat?: number;
  /** For the recipient, where one is taken. */
  comment?: string;
}

/** How much of what is offered is taken. */
export interface WithdrawContent {
  /** All that is offered when absent. */
  amount_msat?: number;
}

/** Money that was asked for. */
export interface Withdrawal {
  /** How much. */
  amount_msat: number;
  /** Of the daemon's own invoice: whether the money has come, `lookupPayment` says. */
  payment_hash: string;
}
