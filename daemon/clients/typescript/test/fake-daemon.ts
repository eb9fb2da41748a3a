/** A daemon by script: speaks the wire of the real one, keeps streams and operations, and breaks on command. */
import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';

export interface Frame {
  id: string;
  cmd: string;
  params?: any;
  idempotency_key?: string;
}

export interface Data {
  type: string;
  [member: string]: unknown;
}

/** An error that goes out as an error frame. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly retryable = false,
  ) {
    super(message);
  }
}

/** Answers a command: with data, with a refusal, or later. */
export type Handler = (params: any, daemon: FakeDaemon) => Data | Promise<Data>;

interface Operation {
  cmd: string;
  outcome: Promise<Data>;
}

interface Stream {
  events: Data[];
  sockets: Set<WebSocket>;
  /** Whether more can come. */
  open: boolean;
}

/** Whether nothing can follow on a stream after this event. */
function isFinal(data: Data): boolean {
  if (data.type === 'payment_status_update') return (data['status'] as { status: string }).status === 'paid';
  if (data.type === 'delivery') return data['queued'] === false;
  if (data.type === 'subscription_update') return (data['status'] as { status: string }).status === 'closed';
  return !['key_handshake', 'closed_recurring_payment', 'lightning_address_payment'].includes(data.type);
}

export interface FakeDaemonOptions {
  /** `*` for any. */
  token?: string;
  /** As the daemons before ours: no codes, no indexes, no resuming, keys ignored. */
  old?: boolean;
  /** Does not answer pings. */
  deaf?: boolean;
  /** Sends what a willing person would send. */
  autopilot?: boolean;
}

/** The longest that a test waits for anything. */
export const PATIENCE = 15_000;

export const USER = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';

export class FakeDaemon {
  readonly token: string;
  /** All frames that arrived, in order. */
  readonly frames: Frame[] = [];
  /** How often each command was really carried out. */
  readonly executed = new Map<string, number>();
  readonly sockets = new Set<WebSocket>();
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private readonly handlers = new Map<string, Handler>();
  private readonly operations = new Map<string, Operation>();
  private readonly streams = new Map<string, Stream>();
  private server?: WebSocketServer;
  private port = 0;

  private constructor(readonly options: FakeDaemonOptions) {
    this.token = options.token ?? 'secret-token';
  }

  static async start(options: FakeDaemonOptions = {}): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(options);
    await daemon.listen();
    return daemon;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Listens, after a stop on the same port as before. */
  async listen(): Promise<void> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: this.port, path: '/ws', autoPong: !this.options.deaf });
    await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
    server.on('connection', (socket) => this.accept(socket));
  }

  /** Cuts every socket without a goodbye. */
  cut(): void {
    for (const socket of this.sockets) socket.terminate();
  }

  /** Stops listening and cuts every socket; streams and operations are kept, as on a disk. */
  async stop(): Promise<void> {
    this.cut();
    const { server } = this;
    this.server = undefined;
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  /** Sets how a command is answered. */
  on(cmd: string, handler: Handler): this {
    this.handlers.set(cmd, handler);
    return this;
  }

  /** Makes a stream; its id is what the answer names. */
  openStream(streamId: string = randomUUID()): string {
    if (!this.streams.has(streamId)) this.streams.set(streamId, { events: [], sockets: new Set(), open: true });
    return streamId;
  }

  /** Forgets a stream, as after a restart without a disk. */
  forgetStream(streamId: string): void {
    this.streams.delete(streamId);
  }

  /** Adds an event to a stream and sends it to whoever is attached. */
  notify(streamId: string, data: Data): void {
    const stream = this.streams.get(streamId);
    if (!stream) throw new Error(`no stream ${streamId}`);
    stream.events.push(data);
    if (isFinal(data)) stream.open = false;
    for (const socket of stream.sockets) this.sendEvent(socket, streamId, stream.events.length - 1);
  }

  status(streamId: string, status: string, more: Record<string, unknown> = {}): void {
    this.notify(streamId, { type: 'payment_status_update', status: { status, ...more } });
  }

  /** Ends a stream without what it was for. */
  fail(streamId: string, code: string, reason = 'nobody answered in time'): void {
    this.notify(streamId, { type: 'error', code, reason });
  }

  /** Ends a stream without a word, as when nothing more can be said. */
  close(streamId: string): void {
    const stream = this.streams.get(streamId);
    if (!stream) throw new Error(`no stream ${streamId}`);
    stream.open = false;
  }

  /** Sends any text to all sockets. */
  broadcast(text: string): void {
    for (const socket of this.sockets) socket.send(text);
  }

  /** The frames of one command. */
  of(cmd: string): Frame[] {
    return this.frames.filter((frame) => frame.cmd === cmd);
  }

  /** Waits until something is so. */
  until(condition: () => boolean, what: string): Promise<void> {
    return until(condition, what, this.changes);
  }

  private accept(socket: WebSocket): void {
    this.sockets.add(socket);
    const session = { authenticated: false };
    socket.on('close', () => {
      this.sockets.delete(socket);
      for (const stream of this.streams.values()) stream.sockets.delete(socket);
      this.changed();
    });
    socket.on('error', () => undefined);
    socket.on('message', (raw) => {
      const frame = JSON.parse(String(raw)) as Frame;
      this.frames.push(frame);
      void this.answer(socket, session, frame).finally(() => this.changed());
      this.changed();
    });
    this.changed();
  }

  private async answer(socket: WebSocket, session: { authenticated: boolean }, frame: Frame): Promise<void> {
    const { id, cmd, params } = frame;
    if (cmd === 'Auth') {
      if (this.token !== '*' && params?.token !== this.token) {
        this.sendError(socket, id, new Refusal('Authentication failed', 'auth_failed'));
        socket.close();
        return;
      }
      session.authenticated = true;
      this.send(socket, { type: 'success', id, data: { type: 'auth_success', message: 'Authenticated successfully' } });
      return;
    }
    if (!session.authenticated) {
      this.sendError(socket, id, new Refusal('Not authenticated', 'unauthenticated'));
      socket.close();
      return;
    }
    try {
      if (cmd === 'ResumeStream' && !this.options.old) {
        this.resume(socket, id, params);
        return;
      }
      const data = await this.operation(frame);
      const streamId = data['stream_id'];
      this.send(socket, { type: 'success', id, data });
      if (typeof streamId === 'string') this.attach(socket, streamId, -1);
      if (this.options.autopilot) this.autopilot(cmd, data);
    } catch (thrown) {
      this.sendError(socket, id, thrown instanceof Refusal ? thrown : new Refusal(String(thrown), 'internal'));
    }
  }

  /** Carries a command out, or joins the one with the same key. */
  private operation(frame: Frame): Promise<Data> {
    const key = this.options.old ? undefined : frame.idempotency_key;
    const known = key === undefined ? undefined : this.operations.get(key);
    if (known) {
      if (known.cmd !== frame.cmd) throw new Refusal('another command has this key', 'idempotency_conflict');
      return known.outcome;
    }
    const handler = this.handlers.get(frame.cmd) ?? DEFAULTS[frame.cmd];
    if (!handler) throw new Refusal(`Invalid command format: unknown variant \`${frame.cmd}\``, 'unknown_command');
    this.executed.set(frame.cmd, (this.executed.get(frame.cmd) ?? 0) + 1);
    const outcome = Promise.resolve().then(() => handler(frame.params ?? {}, this));
    if (key !== undefined) this.operations.set(key, { cmd: frame.cmd, outcome });
    return outcome;
  }

  private resume(socket: WebSocket, id: string, params: any): void {
    const streamId = String(params?.stream_id);
    const stream = this.streams.get(streamId);
    if (!stream) throw new Refusal('there is no such stream', 'stream_not_found');
    const { events, open } = stream;
    this.send(socket, { type: 'success', id, data: { type: 'stream_resumed', stream_id: streamId, events: events.length, open } });
    this.attach(socket, streamId, typeof params.after === 'number' ? params.after : -1);
  }

  private attach(socket: WebSocket, streamId: string, after: number): void {
    const stream = this.streams.get(streamId);
    if (!stream) return;
    stream.sockets.add(socket);
    for (let index = after + 1; index < stream.events.length; index += 1) this.sendEvent(socket, streamId, index);
  }

  private autopilot(cmd: string, data: Data): void {
    const streamId = data['stream_id'] as string;
    if (cmd === 'NewKeyHandshakeUrl') {
      this.notify(streamId, { type: 'key_handshake', main_key: USER, preferred_relays: ['wss://relay.example.com'] });
    } else if (cmd === 'RequestSinglePayment' || cmd === 'RequestPaymentRaw') {
      this.status(streamId, 'user_approved');
      this.status(streamId, 'user_success', { preimage: '00'.repeat(32) });
      this.status(streamId, 'paid', { preimage: '00'.repeat(32) });
    } else if (cmd === 'RefundPayment') {
      this.notify(streamId, { type: 'refunded', payment: 'stream-1', amount_msat: 700, fees_paid_msat: 1, preimage: '00'.repeat(32) });
    } else if (cmd === 'ListenClosedRecurringPayment') {
      this.notify(streamId, { type: 'closed_recurring_payment', reason: null, subscription_id: 'sub-1', recipient: USER, main_key: USER });
    }
  }

  private sendEvent(socket: WebSocket, streamId: string, index: number): void {
    const data = this.streams.get(streamId)?.events[index];
    this.send(socket, this.options.old ? { type: 'notification', id: streamId, data } : { type: 'notification', id: streamId, index, data });
  }

  private sendError(socket: WebSocket, id: string, refusal: Refusal): void {
    const { message, code, retryable } = refusal;
    this.send(socket, this.options.old ? { type: 'error', id, message } : { type: 'error', id, message, code, retryable });
  }

  private send(socket: WebSocket, frame: unknown): void {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(frame));
  }

  private changed(): void {
    this.changes.emit('change');
  }
}

/** Waits until something is so, looking again at every change of `changes` and now and then. */
export async function until(condition: () => boolean, what: string, changes?: EventEmitter): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (!condition()) return;
      finish();
      resolve();
    };
    const poll = setInterval(look, 5);
    const limit = setTimeout(() => {
      finish();
      reject(new Error(`waited in vain until ${what}`));
    }, PATIENCE);
    const finish = (): void => {
      clearInterval(poll);
      clearTimeout(limit);
      changes?.off('change', look);
    };
    changes?.on('change', look);
  });
}

const stream = (type: string, more: (streamId: string) => Record<string, unknown> = () => ({})): Handler => (_params, daemon) => {
  const streamId = daemon.openStream();
  return { type, stream_id: streamId, ...more(streamId) };
};

const HASH = '11'.repeat(32);
const MINT = 'https://mint.example.com';

/** A subscription as the daemon shows it. */
export const SUBSCRIPTION = {
  stream_id: '0199c0de-0000-7000-8000-000000000001',
  subscription_id: 'sub-1',
  main_key: USER,
  status: 'active',
  why: null,
  amount: 10,
  adjustment: 0,
  currency: 'Millisats',
  calendar: 'monthly',
  time_zone: null,
  description: null,
  period: 1,
  next_due: '1767225600',
  acts_at: '1767225600',
  paid: 1,
  attempts: 0,
  until: null,
  max_payments: 12,
  payment: null,
};

const named = (type: string, more: Record<string, unknown>): Handler => ({ stream_id }) => ({
  type,
  ...(type === 'subscription_cancelled' ? { stream_id } : {}),
  subscription: { ...SUBSCRIPTION, stream_id, ...more },
});

const DEFAULTS: Record<string, Handler> = {
  NewKeyHandshakeUrl: stream('key_handshake_url', (id) => ({ url: `portal://${USER}?token=${id}` })),
  AuthenticateKey: ({ main_key }) => ({
    type: 'auth_response',
    event: {
      user_key: main_key,
      recipient: main_key,
      challenge: 'challenge',
      status: { status: 'approved', granted_permissions: [], session_token: 'session' },
    },
  }),
  RequestSinglePayment: stream('single_payment'),
  RequestPaymentRaw: stream('single_payment'),
  RequestRecurringPayment: ({ payment_request }) => ({
    type: 'recurring_payment',
    status: {
      request_id: 'request-1',
      status: {
        status: 'confirmed',
        subscription_id: 'sub-1',
        authorized_amount: payment_request.amount,
        authorized_currency: payment_request.currency,
        authorized_recurrence: payment_request.recurrence,
      },
    },
  }),
  CloseRecurringPayment: () => ({ type: 'close_recurring_payment_success', message: 'Recurring payment closed' }),
  ListenClosedRecurringPayment: stream('listen_closed_recurring_payment'),
  ListenLightningAddress: stream('listen_lightning_address'),
  FetchProfile: () => ({ type: 'profile', profile: { name: 'jo', display_name: 'Jo', picture: null, nip05: null } }),
  SetProfile: ({ profile }) => ({ type: 'profile', profile }),
  FetchNip05Profile: () => ({ type: 'fetch_nip05_profile', profile: { public_key: USER, relays: [], nip46: [] } }),
  RequestInvoice: () => ({ type: 'invoice_payment', invoice: 'lnbcrt1', payment_hash: null }),
  PayInvoice: () => ({ type: 'pay_invoice', preimage: '00'.repeat(32), fees_paid_msat: 7 }),
  ReadPaymentInstruction: ({ instruction }) => ({
    type: 'payment_instruction',
    instruction: instruction.includes('@')
      ? { kind: 'lnurl_pay', host: instruction.split('@')[1], min_msat: 1000, max_msat: 100_000, description: 'Jo', comment_length: 20 }
      : { kind: 'invoice', invoice: instruction, payment_hash: HASH, amount_msat: null, description: null, expires_at: '1767225600' },
  }),
  PayInstruction: () => ({ type: 'pay_invoice', preimage: '00'.repeat(32), fees_paid_msat: 7 }),
  WithdrawLnurl: ({ amount_msat }) => ({ type: 'withdraw_lnurl', amount_msat: amount_msat ?? 9000, payment_hash: HASH }),
  LookupPayment: () => ({
    type: 'lookup_payment',
    payment: { direction: 'incoming', state: 'settled', amount_msat: 9000, fees_paid_msat: 0, settled_at: '1767225600' },
  }),
  RefundPayment: stream('refund_payment'),
  GetWalletInfo: () => ({ type: 'wallet_info', wallet_type: 'nwc', balance_msat: 21_000 }),
  IssueJwt: () => ({ type: 'issue_jwt', token: 'jwt' }),
  VerifyJwt: () => ({ type: 'verify_jwt', target_key: USER }),
  RequestCashu: () => ({ type: 'cashu_response', status: { status: 'success', token: 'cashuA' } }),
  SendCashuDirect: () => ({ type: 'send_cashu_direct_success', message: 'Cashu direct sent' }),
  MintCashu: () => ({ type: 'cashu_mint', token: 'cashuA' }),
  BurnCashu: ({ mint_url }) => ({ type: 'cashu_burn', amount: mint_url ? 10 : 0 }),
  TakeBackCashu: () => ({ type: 'cashu_take_back', amount: 10 }),
  GetCashuWallet: () => ({
    type: 'cashu_wallet',
    balances: [{ mint_url: MINT, unit: 'sat', available: 10, reserved: 0, given: 1 }],
    unclaimed: [{ mint_url: MINT, unit: 'vip', amount: 1, since: 1_767_225_600, token: 'cashuB' }],
    open: [{ kind: 'mint', mint_url: MINT, unit: 'vip', amount: 1, since: 1_767_225_600 }],
  }),
  ListTicketEvents: ({ after = 0 }) => ({
    type: 'ticket_events',
    events: [{ number: after + 1, at: 1_767_225_600, event: { type: 'spent', key: 'mint:order-17', mint: MINT, unit: 'vip', amount: 1, used: true } }],
  }),
  CheckTicket: () => ({ type: 'ticket_verdict', verdict: 'valid', amount: 1 }),
  ScheduleSubscription: ({ subscription }) => ({ type: 'subscription', subscription: { ...SUBSCRIPTION, ...subscription, recurrence: undefined } }),
  PauseSubscription: named('subscription', { status: 'paused', acts_at: null }),
  ResumeSubscription: named('subscription', { status: 'active' }),
  ChangeSubscription: ({ stream_id, amount }) => ({ type: 'subscription', subscription: { ...SUBSCRIPTION, stream_id, amount, adjustment: -5 } }),
  CancelSubscription: named('subscription_cancelled', { status: 'closed', why: 'by_service', next_due: null, acts_at: null }),
  GetSubscription: named('subscription', {}),
  ListSubscriptions: () => ({ type: 'subscriptions', subscriptions: [SUBSCRIPTION], next: SUBSCRIPTION.stream_id }),
  AddRelay: ({ relay }) => ({ type: 'add_relay', relay }),
  RemoveRelay: ({ relay }) => ({ type: 'remove_relay', relay }),
  CalculateNextOccurrence: () => ({ type: 'calculate_next_occurrence', next_occurrence: '1767225600' }),
  RevokeStaticToken: () => ({ type: 'revoke_static_token', revoked: true }),
};
