/** Cashu tokens, used as tickets. All amounts are in the base of their unit: 1 is one ticket, or one satoshi. */
import type { Timestamp } from '../timestamp.js';
import type { DaemonErrorCode } from './codes.js';
import type { CallOptions } from './config.js';

/** How the person answered a request for a token. */
export type CashuResponseStatus =
  | { status: 'success'; token: string }
  | { status: 'insufficient_funds' }
  | { status: 'rejected'; reason?: string };

/** How a token is made: for whom, and like every call. */
export interface MintCashuOptions extends CallOptions {
  /** Only this person can use it: their main key. */
  lock_to?: string;
  /** From then on an unused locked token can be taken back. */
  lock_until?: Timestamp;
}

/** How a token is burned: what it has to be worth, and like every call. */
export interface BurnCashuOptions extends CallOptions {
  /** What the token must be worth; compared before anything is spent. */
  amount?: number;
}

/** A token that is to be redeemed. */
export interface RedeemCashuContent {
  mint_url: string;
  unit: string;
  token: string;
  /** What it must be worth; compared before anything is spent. */
  amount?: number;
  /** Lets the mint know us. */
  static_auth_token?: string;
}

/** A token that was redeemed. */
export interface RedeemedCashu {
  /** What it was worth. */
  amount: number;
  /** What of it is in the daemon's ticket wallet now: money is kept, tickets are burned. */
  kept: number;
}

/** What the daemon's ticket wallet holds of one unit. */
export interface CashuBalance {
  mint_url: string;
  unit: string;
  /** Can be given. */
  available: number;
  /** Put aside for what is under way. */
  reserved: number;
  /** Given away, and not known to be spent. */
  given: number;
}

/** A token that was given away, and is not known to be spent. */
export interface UnclaimedCashu<Moment = Timestamp> {
  mint_url: string;
  unit: string;
  /** What is left of it. */
  amount: number;
  since: Moment;
  /** Deliver it again, or take it back. */
  token: string;
}

/** Something that the ticket wallet has begun and not ended. */
export interface CashuOperation<Moment = Timestamp> {
  kind: 'mint' | 'send' | 'receive' | 'burn' | 'take_back';
  mint_url: string;
  unit: string;
  amount: number;
  since: Moment;
  /** What has to be paid, when the mint waits for that: an invoice. */
  unpaid?: string;
}

/** The daemon's ticket wallet. */
export interface CashuWallet<Moment = Timestamp> {
  /** By mint and unit. */
  balances: CashuBalance[];
  unclaimed: UnclaimedCashu<Moment>[];
  open: CashuOperation<Moment>[];
}

/** What happened to tickets. */
export type TicketEventData =
  /** One that was given away is spent: used, when it was locked to its holder, else claimed. */
  | { type: 'spent'; key: string; mint: string; unit: string; amount: number; used: boolean }
  /** One that was let in while the mint could not be reached has turned out to be worth nothing. */
  | { type: 'refused'; admission: string; code: DaemonErrorCode | (string & {}) };

/** Something that happened to a ticket. */
export interface TicketEvent<Moment = Timestamp> {
  /** Go on behind it. */
  number: number;
  /** When it was noticed. */
  at: Moment;
  event: TicketEventData;
}

/** A ticket at the door. */
export interface CheckTicketContent {
  /** The mint of the tickets. */
  mint_url: string;
  /** The unit of the tickets. */
  unit: string;
  /** The token that is shown. */
  token: string;
  /** What one admission takes; any amount when absent. */
  amount?: number;
  /**
   * What goes in while the mint cannot be reached, `nothing` when absent: tickets that were locked to this service,
   * also those that their holder has signed, or also those of which a copy may be shown elsewhere.
   */
  offline?: 'nothing' | 'locked_to_us' | 'signed' | 'anything';
  /** Lets the mint know us. */
  static_auth_token?: string;
}

/** What to do with whoever shows a ticket. */
export type TicketVerdict =
  /** Let them in; `offline` when the mint has not been asked yet. */
  | { verdict: 'valid'; amount: number; offline?: boolean }
  /** It was used before, here or elsewhere. */
  | { verdict: 'used' }
  /** A ticket of another mint or unit. */
  | { verdict: 'wrong_event' }
  | { verdict: 'expired' }
  /** The mint is still busy with it: show it again in a moment. */
  | { verdict: 'pending' }
  /** The mint cannot be asked, and `offline` does not let it in without. */
  | { verdict: 'unreachable' }
  /** It is no ticket. */
  | { verdict: 'refused'; reason: 'unreadable' | 'wrong_amount' | 'forged' | 'unsigned' | 'by_the_mint' };
