/** The kinds of streams that the daemon has, and when each is over. */
import type { StreamKind } from './readers.js';
import { stamped } from './timestamp.js';
import type { KeyHandshake } from './types/auth.js';
import type {
  CloseRecurringPaymentNotification,
  InvoiceStatus,
  InvoiceStatusName,
  LightningAddressPayment,
  Refunded,
} from './types/payments.js';
import type { SubscriptionEvent } from './types/subscriptions.js';
import type { NotificationData, StreamEvent } from './types/wire.js';

/** The daemon waits five minutes for the visitor of a one-time URL; an hour is surely over. */
const ONE_TIME_LIFETIME = 3_600_000;

/** Handshakes of a URL: one, or any number when it has a static token. */
export function handshakeKind(reusable: boolean): StreamKind<KeyHandshake> {
  return {
    read: (data) =>
      data.type === 'key_handshake' ? { mainKey: data.main_key, preferredRelays: data.preferred_relays } : undefined,
    reading: () => (reusable ? 'open' : 'done'),
    lifetime: reusable ? undefined : ONE_TIME_LIFETIME,
  };
}

/** After these only a late `paid` can follow. */
const ENDS: ReadonlySet<InvoiceStatusName> = new Set<InvoiceStatusName>([
  'timeout',
  'error',
  'user_failed',
  'user_rejected',
]);

/** A payment by an invoice of the daemon: over when paid; after the other ends a late `paid` may still come. */
export const singlePaymentKind: StreamKind<InvoiceStatus> = {
  read: (data) => (data.type === 'payment_status_update' && data.status ? data.status : undefined),
  reading: ({ status }) => (status === 'paid' ? 'done' : ENDS.has(status) ? 'settled' : 'open'),
};

/**
 * A payment by an invoice that the application brought. When it is foreign the daemon cannot see the money, so
 * `user_success` is the last word; when the daemon's own wallet made it `paid` follows. An older daemon, which does
 * not number events, never sees the money.
 */
export const invoicePaymentKind: StreamKind<InvoiceStatus> = {
  read: singlePaymentKind.read,
  reading: (value, index) =>
    value.status === 'user_success' ? (index === undefined ? 'settled' : 'ask') : singlePaymentKind.reading(value),
};

/** Subscriptions that people close: never over. */
export const closedPaymentKind: StreamKind<CloseRecurringPaymentNotification> = {
  read: (data) => {
    if (data.type !== 'closed_recurring_payment') return undefined;
    const { reason, subscription_id, main_key, recipient } = data;
    return { reason, subscription_id, main_key, recipient };
  },
  reading: () => 'open',
};

/** Payments to the daemon's Lightning addresses: never over. */
export const addressPaymentKind: StreamKind<LightningAddressPayment> = {
  read: (data, index) => {
    if (data.type !== 'lightning_address_payment') return undefined;
    const { name, amount_msat, invoice, payment_hash, preimage } = data;
    return { index, name, amount_msat, invoice, payment_hash, ...(preimage === undefined ? {} : { preimage }) };
  },
  reading: () => 'open',
};

/** A refund: over when the money has gone back; the stream's own error ends one that does not. */
export const refundKind: StreamKind<Refunded> = {
  read: (data) => {
    if (data.type !== 'refunded') return undefined;
    const { payment, amount_msat, fees_paid_msat, preimage } = data;
    return { payment, amount_msat, fees_paid_msat, preimage };
  },
  reading: () => 'done',
};

/** A subscription that the daemon charges: over when closed. */
export const subscriptionKind: StreamKind<SubscriptionEvent> = {
  read: (data, index) =>
    data.type === 'subscription_update'
      ? stamped({ index, ...data.status }, 'next_due', 'due', 'until', 'retry_at', 'closes_at', 'from', 'to')
      : undefined,
  reading: ({ status }) => (status === 'closed' ? 'done' : 'open'),
};

/** The events after which nothing follows, whatever the stream. */
const FINAL = new Set<string>([
  'authenticate_key',
  'recurring_payment_response',
  'invoice_response',
  'cashu_response',
  'refunded',
  'error',
] satisfies NotificationData['type'][]);

function isFinal(data: NotificationData): boolean {
  if (data.type === 'payment_status_update') return data.status?.status === 'paid';
  if (data.type === 'subscription_update') return data.status?.status === 'closed';
  if (data.type === 'delivery') return data.queued === false;
  return FINAL.has(data.type);
}

/** Any stream, as it is. */
export const anyKind: StreamKind<StreamEvent> = {
  read: (data, index) => ({ index, data }),
  reading: ({ data }) => (isFinal(data) ? 'done' : 'open'),
};
