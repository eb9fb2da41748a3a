/** The class that applications use: one method for each thing the daemon can do. */
import type { CallSpec } from './calls.js';
import { Connection } from './connection.js';
import { PortalSDKError, asPortalError } from './errors.js';
import { EventHub } from './events.js';
import { anyKind, closedPaymentKind, handshakeKind, invoicePaymentKind, refundKind, singlePaymentKind } from './kinds.js';
import { CallbackReader, PortalStream, type StreamKind } from './readers.js';
import { randomUuid } from './runtime.js';
import { StreamTable, type Reader } from './streams.js';
import { Timestamp } from './timestamp.js';
import type { AuthResponseData, JwtClaims, KeyHandshake, Nip05Profile } from './types/auth.js';
import type { CallOptions, ClientConfig, EventCallbacks, NotificationListener } from './types/config.js';
import type {
  CloseRecurringPaymentNotification,
  InvoicePaymentRequestContent,
  InvoiceResponse,
  InvoiceStatus,
  PayInvoiceBounds,
  PayInvoiceResult,
  RecurringPaymentRequestContent,
  RecurringPaymentResponseContent,
  RefundContent,
  Refunded,
  RequestInvoiceParams,
  SinglePaymentRequestContent,
  WalletInfo,
} from './types/payments.js';
import type { Profile } from './types/profile.js';
import type { CashuResponseStatus } from './types/tickets.js';
import { isResponseType, type ResponseData, type StreamEvent } from './types/wire.js';

type DataOf<T extends ResponseData['type']> = Extract<ResponseData, { type: T }>;
type Params = Record<string, unknown>;

/** A stream of handshakes, with the URL that people are to open. */
export interface KeyHandshakeStream extends PortalStream<KeyHandshake> {
  /** The log-in URL. */
  readonly url: string;
}

/** A client of the Portal daemon. */
export class PortalSDK {
  private readonly events = new EventHub();
  private readonly streams = new StreamTable(
    (data, streamId) => this.events.notification(data, streamId),
    (streamId) => this.attachAgain(streamId),
  );
  private readonly connection: Connection;
  /** The streams of static tokens: the daemon says nothing on them when the token is revoked. */
  private readonly staticStreams = new Map<string, string>();

  constructor(config: ClientConfig) {
    this.connection = new Connection(config, this.events, this.streams);
  }

  // --- connection ---

  /** Opens the connection. Called while the client reconnects by itself, it joins in. */
  connect(): Promise<void> {
    return this.connection.connect();
  }

  /** Closes the connection for good and rejects whatever is open. */
  disconnect(): void {
    this.connection.disconnect();
  }

  /** Logs in to the daemon. From then on a lost connection is made again, with all that was open. */
  authenticate(token: string): Promise<void> {
    return this.connection.authenticate(token);
  }

  /** Sends any command and resolves to the data of its answer as it came. */
  sendCommand<T = ResponseData>(cmd: string, params: Params = {}, options: CallOptions = {}): Promise<T> {
    const { token } = params;
    // However one logs in, the client has to know about it.
    const data = cmd === 'Auth' && typeof token === 'string' ? this.connection.logIn(token) : this.connection.call(cmd, params, options);
    return data as Promise<T>;
  }

  /** Listens to one type of notification, or to `'all'`; or sets the callbacks of the connection. */
  on(type: string, callback: NotificationListener): void;
  on(callbacks: EventCallbacks): void;
  on(what: string | EventCallbacks, callback?: NotificationListener): void {
    if (typeof what !== 'string') this.events.setCallbacks(what);
    else if (callback) this.events.on(what, callback);
  }

  /** Ends what `on(type, callback)` began. */
  off(type: string, callback: NotificationListener): void {
    this.events.off(type, callback);
  }

  // --- log-in ---

  /**
   * Makes a URL by which a person logs in, and calls back when they open it.
   *
   * With a static token the URL stays the same and can be used by many.
   */
  async newKeyHandshakeUrl(
    onKeyHandshake?: (mainKey: string, preferredRelays: string[]) => void,
    staticToken: string | null = null,
    noRequest = false,
    options: CallOptions = {},
  ): Promise<string> {
    const kind = handshakeKind(!!staticToken);
    return this.openHandshake(staticToken, noRequest, options, () =>
      this.callbackReader(kind, ({ mainKey, preferredRelays }) => onKeyHandshake?.(mainKey, preferredRelays)),
    );
  }

  /** Like `newKeyHandshakeUrl`, for `for await`; the URL is in `url`. */
  async streamKeyHandshakes(staticToken: string | null = null, noRequest = false, options: CallOptions = {}): Promise<KeyHandshakeStream> {
    const kind = handshakeKind(!!staticToken);
    let stream!: PortalStream<KeyHandshake>;
    const url = await this.openHandshake(staticToken, noRequest, options, (streamId) => {
      stream = this.iterator(streamId, kind);
      return stream;
    });
    return Object.assign(stream, { url });
  }

  /** Makes the URL of a static token useless, and ends the streams that this client reads of it. */
  async revokeStaticToken(staticToken: string, options: CallOptions = {}): Promise<void> {
    await this.connection.call('RevokeStaticToken', { static_token: staticToken }, options);
    const streamId = this.staticStreams.get(staticToken);
    this.staticStreams.delete(staticToken);
    if (streamId !== undefined) this.streams.lose(streamId);
  }

  /** Asks a person to prove that the key is theirs and to approve the log-in; waits for their answer. */
  async authenticateKey(mainKey: string, subkeys: string[] = [], options: CallOptions = {}): Promise<AuthResponseData> {
    return (await this.request('AuthenticateKey', 'auth_response', { main_key: mainKey, subkeys }, options)).event;
  }

  /** Issues a token for `target_key`, signed by the daemon's key. */
  async issueJwt(target_key: string, duration_hours: number, options: CallOptions = {}): Promise<string> {
    return (await this.request('IssueJwt', 'issue_jwt', { target_key, duration_hours }, options)).token;
  }

  /** Checks a token that `public_key` issued. */
  async verifyJwt(public_key: string, token: string, options: CallOptions = {}): Promise<JwtClaims> {
    const { target_key } = await this.request('VerifyJwt', 'verify_jwt', { pubkey: public_key, token }, options);
    return { target_key };
  }

  // --- payments ---

  /** Asks a person to agree to a recurring payment; waits for their answer. */
  async requestRecurringPayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: RecurringPaymentRequestContent,
    options: CallOptions = {},
  ): Promise<RecurringPaymentResponseContent> {
    const params = { main_key: mainKey, subkeys, payment_request: paymentRequest };
    const { status: answer } = await this.request('RequestRecurringPayment', 'recurring_payment', params, options);
    if (answer.status?.status !== 'confirmed') return answer;
    const { subscription_id, authorized_amount, authorized_currency, authorized_recurrence } = answer.status;
    return { ...answer, subscription_id, authorized_amount, authorized_currency, authorized_recurrence };
  }

  /** Asks a person for a payment and resolves once they are being asked; `onStatusChange` hears how it goes on. */
  async requestSinglePayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: SinglePaymentRequestContent,
    onStatusChange?: (status: InvoiceStatus) => void,
    options: CallOptions = {},
  ): Promise<void> {
    const params = { main_key: mainKey, subkeys, payment_request: paymentRequest };
    await this.openStream('RequestSinglePayment', 'single_payment', params, options, () =>
      this.callbackReader(singlePaymentKind, onStatusChange),
    );
  }

  /** Like `requestSinglePayment`, for `for await`: ends when paid, refused, failed or timed out. */
  async streamSinglePayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: SinglePaymentRequestContent,
    options: CallOptions = {},
  ): Promise<PortalStream<InvoiceStatus>> {
    const params = { main_key: mainKey, subkeys, payment_request: paymentRequest };
    return this.openIterator('RequestSinglePayment', 'single_payment', params, options, singlePaymentKind);
  }

  /** Asks a person to pay an invoice of yours; otherwise like `requestSinglePayment`. */
  async requestInvoicePayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: InvoicePaymentRequestContent,
    onStatusChange?: (status: InvoiceStatus) => void,
    options: CallOptions = {},
  ): Promise<void> {
    await this.openStream('RequestPaymentRaw', 'single_payment', invoiceParams(mainKey, subkeys, paymentRequest), options, () =>
      this.callbackReader(invoicePaymentKind, onStatusChange),
    );
  }

  /**
   * Like `requestInvoicePayment`, for `for await`: ends when paid, refused, failed or timed out, and after
   * `user_success` when the daemon cannot see the money.
   */
  async streamInvoicePayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: InvoicePaymentRequestContent,
    options: CallOptions = {},
  ): Promise<PortalStream<InvoiceStatus>> {
    const params = invoiceParams(mainKey, subkeys, paymentRequest);
    return this.openIterator('RequestPaymentRaw', 'single_payment', params, options, invoicePaymentKind);
  }

  /** Ends a subscription. */
  async closeRecurringPayment(mainKey: string, subkeys: string[], subscriptionId: string, options: CallOptions = {}): Promise<string> {
    const params = { main_key: mainKey, subkeys, subscription_id: subscriptionId };
    return (await this.request('CloseRecurringPayment', 'close_recurring_payment_success', params, options)).message;
  }

  /** Calls back whenever a person ends a subscription; resolves to a function that stops it. */
  async listenClosedRecurringPayment(
    onClosed: (data: CloseRecurringPaymentNotification) => void,
    options: CallOptions = {},
  ): Promise<() => void> {
    let stop: () => void = () => undefined;
    await this.openStream('ListenClosedRecurringPayment', 'listen_closed_recurring_payment', undefined, options, (streamId) => {
      const reader = this.callbackReader(closedPaymentKind, onClosed);
      stop = () => this.streams.detach(streamId, reader);
      return reader;
    });
    return stop;
  }

  /** Like `listenClosedRecurringPayment`, for `for await`. */
  streamClosedRecurringPayments(options: CallOptions = {}): Promise<PortalStream<CloseRecurringPaymentNotification>> {
    return this.openIterator('ListenClosedRecurringPayment', 'listen_closed_recurring_payment', undefined, options, closedPaymentKind);
  }

  /** Asks somebody for an invoice, to pay them out or back; waits for their answer. */
  async requestInvoice(
    recipientKey: string,
    subkeys: string[],
    content: RequestInvoiceParams,
    options: CallOptions = {},
  ): Promise<InvoiceResponse> {
    const params = { recipient_key: recipientKey, subkeys, content };
    const { invoice, payment_hash } = await this.request('RequestInvoice', 'invoice_payment', params, options);
    return { invoice, payment_hash: payment_hash ?? null };
  }

  /** Pays an invoice from the daemon's wallet, within these bounds or those that are configured. */
  async payInvoice(invoice: string, options: CallOptions = {}, bounds: PayInvoiceBounds = {}): Promise<PayInvoiceResult> {
    const { preimage, fees_paid_msat } = await this.request('PayInvoice', 'pay_invoice', { invoice, ...bounds }, options);
    return { preimage, fees_paid_msat };
  }

  /**
   * Gives back what was paid on a stream, or a part of it; never more. Resolves when the money has gone back: the
   * person's app is asked for an invoice first, which may take a while.
   */
  async refundPayment(streamId: string, content: RefundContent = {}, options: CallOptions = {}): Promise<Refunded> {
    const params = { ...content, stream_id: streamId };
    const stream = await this.openIterator('RefundPayment', 'refund_payment', params, options, refundKind);
    const { value } = await stream.next();
    if (value === undefined) throw new PortalSDKError('The refund ended without a word', 'STREAM_LOST', { streamId });
    return value as Refunded;
  }

  /** The kind and balance of the daemon's wallet. */
  async getWalletInfo(options: CallOptions = {}): Promise<WalletInfo> {
    const { wallet_type, balance_msat } = await this.request('GetWalletInfo', 'wallet_info', undefined, options);
    return { wallet_type, balance_msat };
  }

  /** When a calendar comes up next, or null if never again. */
  async calculateNextOccurrence(calendar: string, from: Timestamp, options: CallOptions = {}): Promise<Timestamp | null> {
    const { next_occurrence: next } = await this.request('CalculateNextOccurrence', 'calculate_next_occurrence', { calendar, from }, options);
    if (next === null || next === undefined) return null;
    if (!/^\d+$/.test(String(next))) throw new PortalSDKError('Unexpected moment', 'UNEXPECTED_RESPONSE', next);
    return new Timestamp(BigInt(next));
  }

  // --- profiles ---

  /** The public profile of a key, or null. */
  async fetchProfile(mainKey: string, options: CallOptions = {}): Promise<Profile | null> {
    const { profile } = await this.request('FetchProfile', 'profile', { main_key: mainKey }, options);
    return profile ? { ...profile, id: profile.id ?? mainKey, pubkey: profile.pubkey ?? mainKey } : null;
  }

  /** Publishes the profile of the daemon's key. */
  async setProfile(profile: Profile, options: CallOptions = {}): Promise<void> {
    await this.request('SetProfile', 'profile', { profile }, options);
  }

  /** Who stands behind a NIP-05 address. */
  async fetchNip05Profile(nip05: string, options: CallOptions = {}): Promise<Nip05Profile> {
    return (await this.request('FetchNip05Profile', 'fetch_nip05_profile', { nip05 }, options)).profile;
  }

  // --- tickets ---

  /** Asks a person for a token; waits for their answer. */
  async requestCashu(
    recipientKey: string,
    subkeys: string[],
    mint_url: string,
    unit: string,
    amount: number,
    options: CallOptions = {},
  ): Promise<CashuResponseStatus> {
    const params = { recipient_key: recipientKey, subkeys, mint_url, unit, amount };
    return (await this.request('RequestCashu', 'cashu_response', params, options)).status;
  }

  /** Sends a person a token. */
  async sendCashuDirect(mainKey: string, subkeys: string[], token: string, options: CallOptions = {}): Promise<string> {
    return (await this.request('SendCashuDirect', 'send_cashu_direct_success', { main_key: mainKey, subkeys, token }, options)).message;
  }

  /** Makes a token at a mint. */
  async mintCashu(
    mint_url: string,
    static_auth_token: string | undefined,
    unit: string,
    amount: number,
    description?: string,
    options: CallOptions = {},
  ): Promise<string> {
    const params = { mint_url, static_auth_token, unit, amount, description };
    return (await this.request('MintCashu', 'cashu_mint', params, options)).token;
  }

  /** Redeems a token at its mint and resolves to its amount. */
  async burnCashu(
    mint_url: string,
    unit: string,
    token: string,
    static_auth_token?: string,
    options: CallOptions = {},
  ): Promise<number> {
    return (await this.request('BurnCashu', 'cashu_burn', { mint_url, unit, token, static_auth_token }, options)).amount;
  }

  // --- relays ---

  /** Adds a relay to the daemon's. */
  async addRelay(relay: string, options: CallOptions = {}): Promise<string> {
    return (await this.request('AddRelay', 'add_relay', { relay }, options)).relay;
  }

  /** Removes a relay from the daemon's. */
  async removeRelay(relay: string, options: CallOptions = {}): Promise<string> {
    return (await this.request('RemoveRelay', 'remove_relay', { relay }, options)).relay;
  }

  // --- streams ---

  /**
   * Reads a stream by its id for `for await`, from behind the index `after` or from its beginning, and goes on
   * with what comes. Ends with the stream, whose last event may be an `error`; leave the loop to end it earlier.
   */
  streamEvents(streamId: string, after?: number): PortalStream<StreamEvent> {
    const stream = this.iterator(streamId, anyKind);
    stream.position = after;
    stream.held = true;
    this.streams.attach(streamId, stream);
    const agreed = (): void => {
      stream.held = false;
    };
    this.connection.resume(streamId, {}, agreed).catch((thrown: unknown) => {
      const error = asPortalError(thrown, 'STREAM_LOST');
      stream.end(error.code === 'SERVER_ERROR' ? lostStream(streamId, error) : error);
      this.streams.detach(streamId, stream);
    });
    return stream;
  }

  // --- how calls are made ---

  private request<T extends ResponseData['type']>(cmd: string, type: T, params: Params | undefined, options: CallOptions): Promise<DataOf<T>> {
    return this.connection.call(cmd, params, { ...options, take: (data) => expectType(cmd, type, data) }) as Promise<DataOf<T>>;
  }

  /** Makes a call whose answer names a stream, and attaches a reader before any later frame is looked at. */
  private openStream<T extends 'key_handshake_url' | 'single_payment' | 'refund_payment' | 'listen_closed_recurring_payment'>(
    cmd: string,
    type: T,
    params: Params | undefined,
    options: CallOptions,
    reader: (streamId: string) => Reader,
  ): Promise<DataOf<T>> {
    const spec: CallSpec = {
      ...options,
      take: (answer, call) => {
        const data = expectType(cmd, type, answer);
        const { stream_id: streamId, last_index: lastIndex } = data as { stream_id: string; last_index?: number | null };
        const attached = reader(streamId);
        // A stream that is older than this call begins, for its reader, with what comes now.
        if (typeof lastIndex === 'number') attached.position = lastIndex;
        this.streams.attach(streamId, attached);
        // It may have begun on another socket: what came there is fetched, what came here is known by its index.
        if (call.resent || options.idempotencyKey !== undefined) this.attachAgain(streamId);
        return data;
      },
    };
    this.streams.expect();
    return this.connection.call(cmd, params, spec, () => this.streams.unexpect()) as Promise<DataOf<T>>;
  }

  private async openHandshake(
    staticToken: string | null,
    noRequest: boolean,
    options: CallOptions,
    reader: (streamId: string) => Reader,
  ): Promise<string> {
    const params = { static_token: staticToken, no_request: noRequest };
    const { url } = await this.openStream('NewKeyHandshakeUrl', 'key_handshake_url', params, options, (streamId) => {
      if (staticToken) this.staticStreams.set(staticToken, streamId);
      return reader(streamId);
    });
    return url;
  }

  private async openIterator<T>(
    cmd: string,
    type: 'single_payment' | 'refund_payment' | 'listen_closed_recurring_payment',
    params: Params | undefined,
    options: CallOptions,
    kind: StreamKind<T>,
  ): Promise<PortalStream<T>> {
    let stream!: PortalStream<T>;
    await this.openStream(cmd, type, params, options, (streamId) => {
      stream = this.iterator(streamId, kind);
      return stream;
    });
    return stream;
  }

  private attachAgain(streamId: string): void {
    this.connection.resume(streamId).catch((thrown: unknown) => {
      const error = asPortalError(thrown, 'STREAM_LOST');
      // An older daemon cannot resume, but goes on with the stream; and the end of the connection ends or resumes it.
      if (error.daemonCode === 'stream_not_found') this.streams.lose(streamId, lostStream(streamId, error));
    });
  }

  private iterator<T>(streamId: string, kind: StreamKind<T>): PortalStream<T> {
    return new PortalStream(streamId, kind, (stream) => this.streams.detach(streamId, stream));
  }

  private callbackReader<T>(kind: StreamKind<T>, callback: ((value: T) => void) | undefined): CallbackReader<T> {
    return new CallbackReader(
      kind,
      (value) => this.events.guard(() => callback?.(value)),
      (error) => {
        // The end of the whole connection is told once, not for every stream.
        if (error.code === 'STREAM_LOST' || error.code === 'SERVER_ERROR') this.events.error(error);
      },
    );
  }
}

function expectType<T extends ResponseData['type']>(cmd: string, type: T, data: unknown): DataOf<T> {
  if (isResponseType(data, type)) return data;
  throw new PortalSDKError(`Unexpected answer to ${cmd}`, 'UNEXPECTED_RESPONSE', data);
}

function lostStream(streamId: string, cause: PortalSDKError): PortalSDKError {
  return new PortalSDKError(`Stream lost: ${cause.message}`, 'STREAM_LOST', { streamId }, { daemonCode: cause.daemonCode });
}

function invoiceParams(mainKey: string, subkeys: string[], request: InvoicePaymentRequestContent): Params {
  // Older daemons refuse a request without an id.
  return { main_key: mainKey, subkeys, payment_request: { ...request, request_id: request.request_id ?? randomUuid() } };
}
