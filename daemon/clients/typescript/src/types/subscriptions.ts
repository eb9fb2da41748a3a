/** Subscriptions that the daemon charges by itself. */
import type { Timestamp } from '../timestamp.js';
import type { PaymentCurrency, RecurrenceInfo } from './payments.js';

/** How a subscription is charged. */
export interface SubscriptionSchedule {
  /** The IANA time zone that the calendar is read in; UTC when absent. */
  time_zone?: string;
  /** Nothing is charged before. */
  trial_until?: Timestamp;
  /** Which periods of an outage are charged; as configured when absent. */
  catch_up?: 'each' | 'latest';
}

/** A subscription that a person agreed to earlier. */
export interface AgreedSubscription {
  /** What the person's wallet calls it. */
  subscription_id: string;
  /** Of each charge: millisatoshi, or hundredths of the fiat unit. */
  amount: number;
  currency: PaymentCurrency;
  /** From the next charge on, which is `first_payment_due`. */
  recurrence: RecurrenceInfo;
  description?: string;
  auth_token?: string;
}

/** Where a subscription stands. */
export type SubscriptionStatus =
  /** The person has not answered yet. */
  | 'proposed'
  | 'active'
  /** The person is asked to pay a period. */
  | 'charging'
  /** That failed, and is tried again. */
  | 'retrying'
  /** The last attempt failed. */
  | 'past_due'
  | 'paused'
  /** It has ended but for a charge that is open. */
  | 'closing'
  | 'closed';

/** Why a subscription ended. */
export type SubscriptionEnd = 'completed' | 'by_service' | 'by_person' | 'unpaid' | 'other_terms';

/** Why a charge failed; after `unknown` nobody is asked again. */
export type ChargeFailure = 'timeout' | 'rejected' | 'failed' | 'unknown';

/** A subscription that the daemon charges. */
export interface Subscription<Moment = Timestamp> {
  /** Its stream, which names it. */
  stream_id: string;
  /** What the person's wallet calls it; null before they have agreed. */
  subscription_id: string | null;
  /** Who pays. */
  main_key: string;
  status: SubscriptionStatus;
  /** Why it ended, when it has. */
  why: SubscriptionEnd | null;
  /** Of each charge: millisatoshi, or hundredths of the fiat unit. */
  amount: number;
  /** What the next charge is more or, below zero, less. */
  adjustment: number;
  currency: PaymentCurrency;
  calendar: string;
  /** Null for UTC. */
  time_zone: string | null;
  description: string | null;
  /** The number of the period that is charged next or now, from 0. */
  period: number;
  /** When that period is due. */
  next_due: Moment | null;
  /** When the daemon acts on it next; null while it waits for a payment or to be resumed. */
  acts_at: Moment | null;
  /** How many periods are paid. */
  paid: number;
  /** How often the person was asked to pay the period. */
  attempts: number;
  /** No period that is due later is charged. */
  until: Moment | null;
  /** No more periods than this are charged. */
  max_payments: number | null;
  /** The stream of the payment that is open. */
  payment: string | null;
}

/** Another amount. */
export interface SubscriptionChange {
  /** Of each later charge. */
  amount: number;
  /** Whether the next charge also has the difference for what is left of the running period. */
  prorate?: boolean;
}

/** Which subscriptions are listed. */
export interface SubscriptionFilter {
  /** Only those of this person. */
  main_key?: string;
  /** Only those that have not ended. */
  open?: boolean;
  /** Those after this stream: the `next` of the list before. */
  after?: string;
  /** At most so many: 100 when absent, 1,000 at most. */
  limit?: number;
}

/** Some of the subscriptions, oldest first. */
export interface SubscriptionList<Moment = Timestamp> {
  subscriptions: Subscription<Moment>[];
  /** Ask again with it as `after`; absent when these were the last. */
  next?: string;
}

/** A step in the life of a subscription. Amounts are in its unit. */
export type SubscriptionUpdate<Moment = Timestamp> =
  /** The person agreed, and it will be charged. */
  | { status: 'scheduled'; subscription_id: string; amount: number; next_due: Moment | null }
  /** The person was asked to pay a period; `payment` is the stream of the payment. */
  | { status: 'charge_created'; period: number; attempt: number; due: Moment; amount: number; payment: string }
  /** The person could not be asked, by nobody's fault but ours or the wallet's. */
  | { status: 'charge_postponed'; period: number; reason: string; until: Moment }
  /** The money is there; `paid` is how many periods are paid now. */
  | { status: 'charge_paid'; period: number; amount: number; payment: string; paid: number; next_due: Moment | null }
  /** A credit covered a period; nobody was asked. */
  | { status: 'charge_covered'; period: number; credit: number; paid: number; next_due: Moment | null }
  /** A period was not paid; the person is asked again at `retry_at`, or not at all. */
  | { status: 'charge_failed'; period: number; attempt: number; cause: ChargeFailure; reason?: string; retry_at: Moment | null }
  /** The last attempt failed. */
  | { status: 'past_due'; period: number; closes_at: Moment }
  /** Periods of an outage are left out; that of `to` is charged instead. */
  | { status: 'skipped'; from: Moment; to: Moment }
  /** Nothing is charged until it is resumed. */
  | { status: 'paused' }
  /** It is charged again. */
  | { status: 'resumed'; next_due: Moment | null }
  /** The amount changed; `adjustment` is what the next charge is more or less. */
  | { status: 'changed'; amount: number; adjustment: number }
  /** There will be no more charges; one that is open may still be paid. */
  | { status: 'cancelled'; why: SubscriptionEnd; reason?: string }
  /** Nothing follows. */
  | { status: 'closed'; why: SubscriptionEnd };

/** A step, with its place in the stream of the subscription. */
export type SubscriptionEvent = SubscriptionUpdate & {
  /** Its place: go on behind it after a restart. */
  index?: number;
};
