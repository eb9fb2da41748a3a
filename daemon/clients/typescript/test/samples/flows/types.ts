/** Uses every exported type; only compiled. */
import {
  Currency,
  PortalSDK,
  PortalSDKError,
  PortalStream,
  Timestamp,
  type AgreedSubscription,
  type AuthResponseData,
  type BurnCashuOptions,
  type CashuResponseStatus,
  type CashuWallet,
  type CheckTicketContent,
  type ClientConfig,
  type CloseRecurringPaymentNotification,
  type Command,
  type DaemonErrorCode,
  type EventCallbacks,
  type ExchangeRate,
  type InvoicePaymentRequestContent,
  type InvoiceStatus,
  type JwtClaims,
  type MintCashuOptions,
  type NotificationData,
  type PayInstructionContent,
  type PayInvoiceOptions,
  type PaymentCurrency,
  type PaymentInstruction,
  type Profile,
  type RecurrenceInfo,
  type RecurringPaymentRequestContent,
  type RecurringPaymentResponseContent,
  type RedeemCashuContent,
  type RedeemedCashu,
  type RefundContent,
  type Refunded,
  type RequestInvoiceParams,
  type Response,
  type ResponseData,
  type SinglePaymentRequestContent,
  type Subscription,
  type SubscriptionChange,
  type SubscriptionEvent,
  type SubscriptionFilter,
  type SubscriptionList,
  type SubscriptionSchedule,
  type SubscriptionUpdate,
  type TicketEvent,
  type TicketVerdict,
  type WalletPayment,
  type WithdrawContent,
  type Withdrawal,
} from 'portal-sdk';

export type All = [
  AgreedSubscription,
  AuthResponseData,
  BurnCashuOptions,
  CashuResponseStatus,
  CashuWallet,
  CheckTicketContent,
  CloseRecurringPaymentNotification,
  Command,
  EventCallbacks,
  ExchangeRate,
  InvoicePaymentRequestContent,
  JwtClaims,
  MintCashuOptions,
  NotificationData,
  PayInstructionContent,
  PayInvoiceOptions,
  Profile,
  RecurringPaymentRequestContent,
  RecurringPaymentResponseContent,
  RedeemCashuContent,
  RedeemedCashu,
  RefundContent,
  Refunded,
  RequestInvoiceParams,
  Response,
  ResponseData,
  SinglePaymentRequestContent,
  Subscription,
  SubscriptionChange,
  SubscriptionFilter,
  SubscriptionList,
  SubscriptionSchedule,
  SubscriptionUpdate,
  TicketEvent,
  Withdrawal,
  WithdrawContent,
];

const config: ClientConfig = { serverUrl: 'ws://127.0.0.1/ws', connectTimeout: 1, debug: false };
const client = new PortalSDK(config);
const recurrence: RecurrenceInfo = { calendar: 'monthly', first_payment_due: Timestamp.fromNow(1), until: new Timestamp(1n) };
const currency: PaymentCurrency = Currency.Millisats;

export async function use(): Promise<InvoiceStatus[]> {
  const connecting: Promise<void> = client.connect();
  await connecting.catch((error: PortalSDKError) => [error.code, error.details, error.daemonCode, error.retryable]);
  const answer = await client.requestRecurringPayment('k', [], { amount: 1, currency, recurrence, expires_at: Timestamp.fromNow(1) });
  const id: string | undefined = answer.subscription_id;
  const stop: () => void = await client.listenClosedRecurringPayment(({ subscription_id }) => subscription_id === id);
  stop();
  const next: Timestamp | null = await client.calculateNextOccurrence('daily', new Timestamp(0));
  const data = await client.sendCommand<{ type: string }>('GetWalletInfo', { next: next?.toJSON() });
  client.on(data.type, (notification) => notification.type);
  const cashu: CashuResponseStatus = await client.requestCashu('k', [], 'm', 'sat', 1);
  const token: string = cashu.status === 'success' ? cashu.token : cashu.status;
  const burned: number = await client.burnCashu('m', 'sat', token);
  const statuses: InvoiceStatus[] = [];
  const stream: PortalStream<InvoiceStatus> = await client.streamSinglePayment('k', [], { amount: burned, currency, description: '' });
  for await (const status of stream) statuses.push(status);
  return statuses;
}

export async function pay(text: string): Promise<Timestamp | string | null> {
  const instruction: PaymentInstruction = await client.readPaymentInstruction(text);
  if (instruction.kind === 'cannot_pay') return instruction.what;
  if (instruction.kind === 'lnurl_withdraw') {
    const payment: WalletPayment | null = await client.lookupPayment((await client.withdrawLnurl(text)).payment_hash);
    return payment && payment.settled_at;
  }
  const amount_msat = instruction.kind === 'invoice' ? undefined : instruction.min_msat;
  await client.payInstruction(text, { amount_msat }).catch(({ daemonCode, idempotencyKey }: PortalSDKError) => {
    const pending: DaemonErrorCode = 'payment_pending';
    return daemonCode === pending ? idempotencyKey : daemonCode;
  });
  return instruction.kind === 'invoice' ? instruction.expires_at : instruction.host;
}

export async function watch(streamId: string): Promise<number | Timestamp | null | undefined> {
  const events: PortalStream<SubscriptionEvent> = client.streamSubscription(streamId);
  for await (const event of events) {
    if (event.status === 'charge_failed') return event.retry_at;
    if (event.status === 'charge_paid') return event.index;
  }
  const verdict: TicketVerdict = await client.checkTicket({ mint_url: 'm', unit: 'vip', token: 't', offline: 'signed' });
  return verdict.verdict === 'valid' ? verdict.amount : null;
}
