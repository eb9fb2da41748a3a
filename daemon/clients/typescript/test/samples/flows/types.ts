/** Uses every exported type; only compiled. */
import {
  Currency,
  PortalSDK,
  PortalSDKError,
  PortalStream,
  Timestamp,
  type AuthResponseData,
  type CashuResponseStatus,
  type ClientConfig,
  type CloseRecurringPaymentNotification,
  type Command,
  type EventCallbacks,
  type ExchangeRate,
  type InvoicePaymentRequestContent,
  type InvoiceStatus,
  type JwtClaims,
  type NotificationData,
  type PaymentCurrency,
  type Profile,
  type RecurrenceInfo,
  type RecurringPaymentRequestContent,
  type RecurringPaymentResponseContent,
  type RequestInvoiceParams,
  type Response,
  type ResponseData,
  type SinglePaymentRequestContent,
} from 'portal-sdk';

export type All = [
  AuthResponseData,
  CashuResponseStatus,
  CloseRecurringPaymentNotification,
  Command,
  EventCallbacks,
  ExchangeRate,
  InvoicePaymentRequestContent,
  JwtClaims,
  NotificationData,
  Profile,
  RecurringPaymentRequestContent,
  RecurringPaymentResponseContent,
  RequestInvoiceParams,
  Response,
  ResponseData,
  SinglePaymentRequestContent,
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
