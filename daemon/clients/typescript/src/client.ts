/** The class that applications use: one method for each thing the daemon can do. */
import { Caller, type Params } from './caller.js';
import { PortalSDKError } from './errors.js';
import { addressPaymentKind, anyKind, closedPaymentKind, handshakeKind, invoicePaymentKind, refundKind, singlePaymentKind, subscriptionKind } from './kinds.js';
import { PortalStream } from './readers.js';
import { after, randomUuid } from './runtime.js';
import type { Reader } from './streams.js';
import { Timestamp, stamped } from './timestamp.js';
import type { AuthResponseData, JwtClaims, KeyHandshake, Nip05Profile } from './types/auth.js';
import type { CallOptions, EventCallbacks, NotificationListener } from './types/config.js';
import type { PayInstructionContent, PaymentInstruction, WithdrawContent, Withdrawal } from './types/instructions.js';
import type {
  CloseRecurringPaymentNotification,
  InvoicePaymentRequestContent,
  InvoiceResponse,
  InvoiceStatus,
  LightningAddressPayment,
  ListenOptions,
  PayInvoiceOptions,
  PayInvoiceResult,
  RecurringPaymentRequestContent,
  RecurringPaymentResponseContent,
  RefundContent,
  Refunded,
  RequestInvoiceParams,
  SinglePaymentRequestContent,
  WalletInfo,
  WalletPayment,
} from './types/payments.js';
import type { Profile } from './types/profile.js';
import type {
  AgreedSubscription,
  Subscription,
  SubscriptionChange,
  SubscriptionEvent,
  SubscriptionFilter,
  SubscriptionList,
  SubscriptionSchedule,
} from './types/subscriptions.js';
import type {
  BurnCashuOptions,
  CashuResponseStatus,
  CashuWallet,
  CheckTicketContent,
  MintCashuOptions,
  RedeemCashuContent,
  RedeemedCashu,
  TicketEvent,
  TicketVerdict,
} from './types/tickets.js';
import type { ResponseData, StreamEvent, WireMoment } from './types/wire.js';

/** A stream of handshakes, with the URL that people are to open. */
export interface KeyHandshakeStream extends PortalStream<KeyHandshake> {
  /** The log-in URL. */
  readonly url: string;
}

/** A client of the Portal daemon. */
export class PortalSDK extends Caller {
  /** The streams of static tokens: the daemon says nothing on them when the token is revoked. */
  private readonly staticStreams = new Map<string, string>();

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

  /** Asks a person to agree to a recurring payment; waits for their answer. With `schedule` the daemon charges it. */
  async requestRecurringPayment(
    mainKey: string,
    subkeys: string[],
    paymentRequest: RecurringPaymentRequestContent,
    options: CallOptions = {},
  ): Promise<RecurringPaymentResponseContent> {
    const params = { main_key: mainKey, subkeys, payment_request: paymentRequest };
    const { status: answer, schedule_stream_id } = await this.request('RequestRecurringPayment', 'recurring_payment', params, options);
    if (answer.status?.status !== 'confirmed') return answer;
    const { subscription_id, authorized_amount, authorized_currency, authorized_recurrence } = answer.status;
    const confirmed = { ...answer, subscription_id, authorized_amount, authorized_currency, authorized_recurrence };
    return schedule_stream_id ? { ...confirmed, schedule_stream_id } : confirmed;
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

  /**
   * Calls back whenever somebody pays one of the daemon's Lightning addresses; resolves to a function that stops it.
   * With `after` also for those behind that index, which came while nobody listened.
   */
  async listenLightningAddress(
    onPayment: (payment: LightningAddressPayment) => void,
    options: ListenOptions = {},
  ): Promise<() => void> {
    const { after: known, ...call } = options;
    let stop: () => void = () => undefined;
    await this.openStream('ListenLightningAddress', 'listen_lightning_address', { after: known }, call, (streamId) => {
      const reader = this.callbackReader(addressPaymentKind, onPayment);
      stop = () => this.streams.detach(streamId, reader);
      return reader;
    });
    return stop;
  }

  /** Like `listenLightningAddress`, for `for await`. */
  streamLightningAddressPayments(options: ListenOptions = {}): Promise<PortalStream<LightningAddressPayment>> {
    const { after: known, ...call } = options;
    return this.openIterator('ListenLightningAddress', 'listen_lightning_address', { after: known }, call, addressPaymentKind);
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

  /** Pays an invoice from the daemon's wallet, within the bounds of `options` or those that are configured. */
  async payInvoice(invoice: string, options: PayInvoiceOptions = {}): Promise<PayInvoiceResult> {
    const { amount_msat, max_fee_msat, retry, ...call } = options;
    const { preimage, fees_paid_msat } = await this.request('PayInvoice', 'pay_invoice', { invoice, amount_msat, max_fee_msat, retry }, call);
    return { preimage, fees_paid_msat };
  }

  /** What a person pasted or scanned asks for: an invoice, a BIP 321 URI, an LNURL or a Lightning address. */
  async readPaymentInstruction(instruction: string, options: CallOptions = {}): Promise<PaymentInstruction> {
    const answer = await this.request('ReadPaymentInstruction', 'payment_instruction', { instruction }, options);
    return stamped(answer.instruction, 'expires_at');
  }

  /**
   * Pays to whatever `readPaymentInstruction` reads. A Lightning address makes a new invoice for every call, so give
   * an `idempotencyKey` of your own: only the key says that one payment is meant, also after a restart.
   */
  async payInstruction(instruction: string, content: PayInstructionContent = {}, options: CallOptions = {}): Promise<PayInvoiceResult> {
    const { preimage, fees_paid_msat } = await this.request('PayInstruction', 'pay_invoice', { ...content, instruction }, options);
    return { preimage, fees_paid_msat };
  }

  /** Takes money that an LNURL offers; whether it has come, `lookupPayment` says. */
  async withdrawLnurl(instruction: string, content: WithdrawContent = {}, options: CallOptions = {}): Promise<Withdrawal> {
    const { amount_msat, payment_hash } = await this.request('WithdrawLnurl', 'withdraw_lnurl', { ...content, instruction }, options);
    return { amount_msat, payment_hash };
  }

  /** Where a payment stands by the books of the daemon's wallet, or null when that does not know it. */
  async lookupPayment(paymentHash: string, options: CallOptions = {}): Promise<WalletPayment | null> {
    const { payment } = await this.request('LookupPayment', 'lookup_payment', { payment_hash: paymentHash }, options);
    return payment && stamped(payment, 'settled_at');
  }

  /**
   * Gives back what was paid on a stream, or a part of it; never more. Resolves when the money has gone back: the
   * person's app is asked for an invoice first. Waiting ends as for every call, the refund goes on:
   * use `streamRefund`, or the same `idempotencyKey` again, when it may take longer.
   */
  async refundPayment(streamId: string, content: RefundContent = {}, options: CallOptions = {}): Promise<Refunded> {
    const limit = options.timeout ?? this.connection.config.waitTimeout;
    const stream = await this.streamRefund(streamId, content, options);
    const cancel = after(limit, () => {
      const details = { cmd: 'RefundPayment', streamId: stream.streamId };
      stream.end(new PortalSDKError(`RefundPayment: timeout, not ended within ${limit} ms`, 'REQUEST_TIMEOUT', details, options));
      stream.close();
    });
    const { value } = await stream.next().finally(cancel);
    if (value === undefined) throw new PortalSDKError('The refund ended without a word', 'STREAM_LOST', { streamId: stream.streamId });
    return value as Refunded;
  }

  /** Like `refundPayment`, for `for await`: one `Refunded`, or a rejection when nothing has gone back. */
  streamRefund(streamId: string, content: RefundContent = {}, options: CallOptions = {}): Promise<PortalStream<Refunded>> {
    return this.openIterator('RefundPayment', 'refund_payment', { ...content, stream_id: streamId }, options, refundKind);
  }

  /** The kind and balance of the daemon's wallet; while that is away, what it said last (`stale`). */
  async getWalletInfo(options: CallOptions = {}): Promise<WalletInfo> {
    const { type: _, ...info } = await this.request('GetWalletInfo', 'wallet_info', undefined, options);
    return stamped(info, 'balance_at');
  }

  /** When a calendar comes up next, or null if never again. */
  async calculateNextOccurrence(calendar: string, from: Timestamp, options: CallOptions = {}): Promise<Timestamp | null> {
    const { next_occurrence: next } = await this.request('CalculateNextOccurrence', 'calculate_next_occurrence', { calendar, from }, options);
    if (next === null || next === undefined) return null;
    if (!/^\d+$/.test(String(next))) throw new PortalSDKError('Unexpected moment', 'UNEXPECTED_RESPONSE', next);
    return new Timestamp(BigInt(next));
  }

  // --- subscriptions that the daemon charges ---

  /** Lets the daemon charge a subscription that a person agreed to earlier. */
  scheduleSubscription(
    mainKey: string,
    subkeys: string[],
    subscription: AgreedSubscription,
    schedule: SubscriptionSchedule = {},
    options: CallOptions = {},
  ): Promise<Subscription> {
    return this.subscription('ScheduleSubscription', { main_key: mainKey, subkeys, subscription, schedule }, options);
  }

  /** Charges nothing until it is resumed; a charge that is open stays open. */
  pauseSubscription(streamId: string, options: CallOptions = {}): Promise<Subscription> {
    return this.subscription('PauseSubscription', { stream_id: streamId }, options);
  }

  /** Charges it again; one that is past due is asked for at once. */
  resumeSubscription(streamId: string, options: CallOptions = {}): Promise<Subscription> {
    return this.subscription('ResumeSubscription', { stream_id: streamId }, options);
  }

  /** Charges another amount from now on. */
  changeSubscription(streamId: string, change: SubscriptionChange, options: CallOptions = {}): Promise<Subscription> {
    return this.subscription('ChangeSubscription', { ...change, stream_id: streamId }, options);
  }

  /** Ends a subscription, and the person is told; null when they had not agreed to it yet. */
  async cancelSubscription(streamId: string, reason?: string, options: CallOptions = {}): Promise<Subscription | null> {
    const params = { stream_id: streamId, reason };
    const { subscription } = await this.request('CancelSubscription', 'subscription_cancelled', params, options);
    return subscription && readSubscription(subscription);
  }

  /** Where a subscription stands. */
  getSubscription(streamId: string, options: CallOptions = {}): Promise<Subscription> {
    return this.subscription('GetSubscription', { stream_id: streamId }, options);
  }

  /** The subscriptions that the daemon charges, oldest first; ask again with `next` as `after` for more. */
  async listSubscriptions(filter: SubscriptionFilter = {}, options: CallOptions = {}): Promise<SubscriptionList> {
    const { type: _, ...list } = await this.request('ListSubscriptions', 'subscriptions', { ...filter }, options);
    return { ...list, subscriptions: list.subscriptions.map(readSubscription) };
  }

  /**
   * Reads what happens to a subscription for `for await`, from behind the index `after` or from its beginning.
   * Ends when the subscription is closed.
   */
  streamSubscription(streamId: string, after?: number): PortalStream<SubscriptionEvent> {
    return this.readAgain(streamId, subscriptionKind, after);
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

  /** Makes a token at a mint, for one person only with `lock_to` in the options. */
  async mintCashu(
    mint_url: string,
    static_auth_token: string | undefined,
    unit: string,
    amount: number,
    description?: string,
    options: MintCashuOptions = {},
  ): Promise<string> {
    const { lock_to, lock_until: until, ...call } = options;
    const lock_until = until && Number(until.valueOf());
    const params = { mint_url, static_auth_token, unit, amount, description, lock_to, lock_until };
    return (await this.request('MintCashu', 'cashu_mint', params, call)).token;
  }

  /** Redeems a token at its mint and resolves to its amount. */
  async burnCashu(
    mint_url: string,
    unit: string,
    token: string,
    static_auth_token?: string,
    options: BurnCashuOptions = {},
  ): Promise<number> {
    const { amount, ...call } = options;
    return (await this.redeemCashu({ mint_url, unit, token, static_auth_token, amount }, call)).amount;
  }

  /** Like `burnCashu`, and also tells what of it the daemon's ticket wallet has kept. */
  async redeemCashu(content: RedeemCashuContent, options: CallOptions = {}): Promise<RedeemedCashu> {
    const { amount, kept = 0 } = await this.request('BurnCashu', 'cashu_burn', { ...content }, options);
    return { amount, kept };
  }

  /** Takes back a token that `mintCashu` made and nobody has claimed; resolves to its amount. */
  async takeBackCashu(token: string, options: CallOptions = {}): Promise<number> {
    return (await this.request('TakeBackCashu', 'cashu_take_back', { token }, options)).amount;
  }

  /** What the daemon's ticket wallet holds, what it gave away and nobody claimed, and what is under way. */
  async getCashuWallet(options: CallOptions = {}): Promise<CashuWallet> {
    const { balances, unclaimed, open } = await this.request('GetCashuWallet', 'cashu_wallet', undefined, options);
    return { balances, unclaimed: unclaimed.map((given) => stamped(given, 'since')), open: open.map((begun) => stamped(begun, 'since')) };
  }

  /** What happened to tickets behind the event of this number, in order, at most a hundred; ask again for more. */
  async listTicketEvents(after?: number, options: CallOptions = {}): Promise<TicketEvent[]> {
    const { events } = await this.request('ListTicketEvents', 'ticket_events', { after }, options);
    return events.map((event) => stamped(event, 'at'));
  }

  /** Looks at a ticket at the door and uses it up. A repeated `idempotencyKey` gets the first verdict again. */
  async checkTicket(content: CheckTicketContent, options: CallOptions = {}): Promise<TicketVerdict> {
    const { type: _, ...verdict } = await this.request('CheckTicket', 'ticket_verdict', { ...content }, options);
    return verdict as TicketVerdict;
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
    return this.readAgain(streamId, anyKind, after);
  }

  // --- what several calls share ---

  private async subscription(cmd: string, params: Params, options: CallOptions): Promise<Subscription> {
    return readSubscription((await this.request(cmd, 'subscription', params, options)).subscription);
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
}

function readSubscription(subscription: Subscription<WireMoment>): Subscription {
  return stamped(subscription, 'next_due', 'acts_at', 'until');
}

function invoiceParams(mainKey: string, subkeys: string[], request: InvoicePaymentRequestContent): Params {
  // Older daemons refuse a request without an id.
  return { main_key: mainKey, subkeys, payment_request: { ...request, request_id: request.request_id ?? randomUuid() } };
}
