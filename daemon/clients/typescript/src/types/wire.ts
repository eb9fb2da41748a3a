/** The frames between client and daemon. */
import type { AuthResponseData, Nip05Profile } from './auth.js';
import type { PaymentInstruction } from './instructions.js';
import type {
  InvoiceStatus,
  LightningAddressPayment,
  RecurringPaymentResponseContent,
  Refunded,
  WalletPayment,
} from './payments.js';
import type { Profile } from './profile.js';
import type { Subscription, SubscriptionList, SubscriptionUpdate } from './subscriptions.js';
import type { CashuResponseStatus, CashuWallet, TicketEvent, TicketVerdict } from './tickets.js';

/** A moment on the wire: whole seconds since 1970, as digits in most places. */
export type WireMoment = string | number;

/** The names of all commands. */
export type CommandName =
  | 'Auth'
  | 'NewKeyHandshakeUrl'
  | 'AuthenticateKey'
  | 'RequestRecurringPayment'
  | 'RequestSinglePayment'
  | 'RequestPaymentRaw'
  | 'FetchProfile'
  | 'SetProfile'
  | 'CloseRecurringPayment'
  | 'ListenClosedRecurringPayment'
  | 'ListenLightningAddress'
  | 'RequestInvoice'
  | 'IssueJwt'
  | 'VerifyJwt'
  | 'RequestCashu'
  | 'SendCashuDirect'
  | 'MintCashu'
  | 'BurnCashu'
  | 'AddRelay'
  | 'RemoveRelay'
  | 'CalculateNextOccurrence'
  | 'FetchNip05Profile'
  | 'PayInvoice'
  | 'RefundPayment'
  | 'GetWalletInfo'
  | 'ResumeStream'
  | 'RevokeStaticToken'
  | 'ReadPaymentInstruction'
  | 'PayInstruction'
  | 'WithdrawLnurl'
  | 'LookupPayment'
  | 'ScheduleSubscription'
  | 'PauseSubscription'
  | 'ResumeSubscription'
  | 'ChangeSubscription'
  | 'CancelSubscription'
  | 'GetSubscription'
  | 'ListSubscriptions'
  | 'TakeBackCashu'
  | 'GetCashuWallet'
  | 'ListTicketEvents'
  | 'CheckTicket';

/** A command as it is sent. */
export interface Command {
  id: string;
  cmd: CommandName | string;
  params?: Record<string, unknown>;
  idempotency_key?: string;
}

/** The data of an answer, by its type. */
export type ResponseData =
  | { type: 'auth_success'; message: string }
  | { type: 'key_handshake_url'; url: string; stream_id: string; last_index?: number | null }
  | { type: 'auth_response'; event: AuthResponseData }
  | { type: 'recurring_payment'; status: RecurringPaymentResponseContent; schedule_stream_id?: string }
  | { type: 'single_payment'; stream_id: string }
  | { type: 'profile'; profile: Partial<Profile> | null }
  | { type: 'close_recurring_payment_success'; message: string }
  | { type: 'listen_closed_recurring_payment'; stream_id: string }
  | { type: 'listen_lightning_address'; stream_id: string; last_index?: number | null }
  | { type: 'invoice_payment'; invoice: string; payment_hash?: string | null }
  | { type: 'issue_jwt'; token: string }
  | { type: 'verify_jwt'; target_key: string }
  | { type: 'cashu_response'; status: CashuResponseStatus }
  | { type: 'send_cashu_direct_success'; message: string }
  | { type: 'cashu_mint'; token: string }
  | { type: 'cashu_burn'; amount: number; kept?: number }
  | { type: 'add_relay'; relay: string }
  | { type: 'remove_relay'; relay: string }
  | { type: 'calculate_next_occurrence'; next_occurrence: string | null }
  | { type: 'fetch_nip05_profile'; profile: Nip05Profile }
  | { type: 'pay_invoice'; preimage: string; fees_paid_msat: number }
  | { type: 'refund_payment'; stream_id: string }
  | {
      type: 'wallet_info';
      wallet_type: string;
      balance_msat: number;
      balance_at?: WireMoment;
      stale?: boolean;
      network?: string | null;
      caps_fees?: boolean;
    }
  /** `events` is how many the stream has, `open` whether more can come. */
  | { type: 'stream_resumed'; stream_id: string; events?: number; open?: boolean }
  | { type: 'revoke_static_token'; revoked: boolean }
  | { type: 'payment_instruction'; instruction: PaymentInstruction<WireMoment> }
  | { type: 'withdraw_lnurl'; amount_msat: number; payment_hash: string }
  | { type: 'lookup_payment'; payment: WalletPayment<WireMoment> | null }
  | { type: 'subscription'; subscription: Subscription<WireMoment> }
  | { type: 'subscription_cancelled'; stream_id: string; subscription: Subscription<WireMoment> | null }
  | ({ type: 'subscriptions' } & SubscriptionList<WireMoment>)
  | { type: 'cashu_take_back'; amount: number }
  | ({ type: 'cashu_wallet' } & CashuWallet<WireMoment>)
  | { type: 'ticket_events'; events: TicketEvent<WireMoment>[] }
  | { type: 'ticket_verdict'; verdict: TicketVerdict['verdict']; amount?: number; offline?: boolean; reason?: string };

/**
 * The data of a notification. Newer daemons may send types that are not listed here.
 *
 * Most are the answers that calls return; `streamEvents` shows them when it reads such a call's stream.
 */
export type NotificationData =
  | { type: 'key_handshake'; main_key: string; preferred_relays: string[] }
  | { type: 'payment_status_update'; status: InvoiceStatus }
  | {
      type: 'closed_recurring_payment';
      reason: string | null;
      subscription_id: string;
      recipient: string;
      main_key: string;
    }
  /** Somebody has paid one of the daemon's Lightning addresses. */
  | ({ type: 'lightning_address_payment' } & Omit<LightningAddressPayment, 'index'>)
  | ({ type: 'authenticate_key' } & AuthResponseData)
  | { type: 'recurring_payment_response'; status: RecurringPaymentResponseContent }
  | { type: 'invoice_response'; invoice: string; payment_hash: string | null }
  | { type: 'cashu_response'; status: CashuResponseStatus }
  /** The money of a payment, or a part of it, has gone back. */
  | ({ type: 'refunded' } & Refunded)
  /** A subscription that the daemon charges has moved. */
  | { type: 'subscription_update'; status: SubscriptionUpdate<WireMoment> }
  /** A message without an answer has reached relays, or waits for one. */
  | { type: 'delivery'; delivered: string[]; refused: [relay: string, reason: string][]; queued: boolean }
  /** The stream ends without what it was for. */
  | { type: 'error'; code: string; reason: string };

/** A frame from the daemon. */
export type Response =
  | { type: 'success'; id: string; data: ResponseData }
  | { type: 'error'; id: string; message: string; code?: string; retryable?: boolean }
  | { type: 'notification'; id: string; index?: number; data: NotificationData };

/** A notification of a stream, with its place in it. */
export interface StreamEvent {
  /** Its place, by which a stream can be resumed; older daemons do not number. */
  index?: number;
  data: NotificationData;
}

/** Whether `data` is the answer of this type. */
export function isResponseType<T extends ResponseData['type']>(data: unknown, type: T): data is Extract<ResponseData, { type: T }> {
  return typeof data === 'object' && data !== null && (data as { type?: unknown }).type === type;
}
