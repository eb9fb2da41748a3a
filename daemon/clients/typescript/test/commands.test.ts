/** The calls that came after 0.3: what each sends, what becomes of the answer, and how a refusal ends it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Currency, PortalSDKError, Timestamp, type DaemonErrorCode, type PortalSDK } from 'portal-sdk';
import { Refusal, SUBSCRIPTION, USER, until } from './fake-daemon.js';
import { loggedIn, sdkError } from './support.js';

interface Expected {
  call(client: PortalSDK): Promise<unknown>;
  cmd: string;
  params?: unknown;
  /** Commands that only look carry no key. */
  read?: boolean;
  result: unknown;
  /** The refusal that is most to be expected. */
  refusal: DaemonErrorCode;
}

const MINT = 'https://mint.example.com';
const HASH = '11'.repeat(32);
const PREIMAGE = '00'.repeat(32);
const ORDER = { idempotencyKey: 'order-17' };
const due = new Timestamp(1767225600);
const monthly = { calendar: 'monthly', first_payment_due: due };
/** A subscription as the client shows it. */
const subscription = { ...SUBSCRIPTION, next_due: due, acts_at: due };
const id = SUBSCRIPTION.stream_id;

const CALLS: Record<string, Expected> = {
  'payInvoice within bounds': {
    call: (c) => c.payInvoice('lnbc1', { amount_msat: 5000, max_fee_msat: 50, retry: true }),
    cmd: 'PayInvoice',
    params: { invoice: 'lnbc1', amount_msat: 5000, max_fee_msat: 50, retry: true },
    result: { preimage: PREIMAGE, fees_paid_msat: 7 },
    refusal: 'fee_too_high',
  },
  'readPaymentInstruction of an invoice': {
    call: (c) => c.readPaymentInstruction('lnbc1'),
    cmd: 'ReadPaymentInstruction',
    params: { instruction: 'lnbc1' },
    read: true,
    result: { kind: 'invoice', invoice: 'lnbc1', payment_hash: HASH, amount_msat: null, description: null, expires_at: due },
    refusal: 'invalid_invoice',
  },
  'readPaymentInstruction of a Lightning address': {
    call: (c) => c.readPaymentInstruction('jo@example.com'),
    cmd: 'ReadPaymentInstruction',
    params: { instruction: 'jo@example.com' },
    read: true,
    result: { kind: 'lnurl_pay', host: 'example.com', min_msat: 1000, max_msat: 100_000, description: 'Jo', comment_length: 20 },
    refusal: 'recipient_failed',
  },
  payInstruction: {
    call: (c) => c.payInstruction('jo@example.com', { amount_msat: 5000, comment: 'for tea' }, ORDER),
    cmd: 'PayInstruction',
    params: { instruction: 'jo@example.com', amount_msat: 5000, comment: 'for tea' },
    result: { preimage: PREIMAGE, fees_paid_msat: 7 },
    refusal: 'spending_limit',
  },
  withdrawLnurl: {
    call: (c) => c.withdrawLnurl('lnurl1', { amount_msat: 8000 }),
    cmd: 'WithdrawLnurl',
    params: { instruction: 'lnurl1', amount_msat: 8000 },
    result: { amount_msat: 8000, payment_hash: HASH },
    refusal: 'forbidden_address',
  },
  'withdrawLnurl of everything': {
    call: (c) => c.withdrawLnurl('lnurl1'),
    cmd: 'WithdrawLnurl',
    params: { instruction: 'lnurl1' },
    result: { amount_msat: 9000, payment_hash: HASH },
    refusal: 'recipient_failed',
  },
  lookupPayment: {
    call: (c) => c.lookupPayment(HASH),
    cmd: 'LookupPayment',
    params: { payment_hash: HASH },
    read: true,
    result: { direction: 'incoming', state: 'settled', amount_msat: 9000, fees_paid_msat: 0, settled_at: due },
    refusal: 'wallet_unavailable',
  },
  refundPayment: {
    call: (c) => c.refundPayment('stream-1', { amount_msat: 700, description: 'cold tea', expires_at: due }),
    cmd: 'RefundPayment',
    params: { stream_id: 'stream-1', amount_msat: 700, description: 'cold tea', expires_at: '1767225600' },
    result: { payment: 'stream-1', amount_msat: 700, fees_paid_msat: 1, preimage: PREIMAGE },
    refusal: 'not_refundable',
  },
  scheduleSubscription: {
    call: (c) =>
      c.scheduleSubscription(
        USER,
        ['aa'],
        { subscription_id: 'sub-7', amount: 10, currency: Currency.Millisats, recurrence: monthly },
        { time_zone: 'Europe/Rome', trial_until: due, catch_up: 'latest' },
      ),
    cmd: 'ScheduleSubscription',
    params: {
      main_key: USER,
      subkeys: ['aa'],
      subscription: { subscription_id: 'sub-7', amount: 10, currency: 'Millisats', recurrence: { calendar: 'monthly', first_payment_due: '1767225600' } },
      schedule: { time_zone: 'Europe/Rome', trial_until: '1767225600', catch_up: 'latest' },
    },
    result: { ...subscription, subscription_id: 'sub-7' },
    refusal: 'invalid_time',
  },
  pauseSubscription: {
    call: (c) => c.pauseSubscription(id),
    cmd: 'PauseSubscription',
    params: { stream_id: id },
    result: { ...subscription, status: 'paused', acts_at: null },
    refusal: 'not_found',
  },
  resumeSubscription: {
    call: (c) => c.resumeSubscription(id),
    cmd: 'ResumeSubscription',
    params: { stream_id: id },
    result: subscription,
    refusal: 'not_found',
  },
  changeSubscription: {
    call: (c) => c.changeSubscription(id, { amount: 20, prorate: true }),
    cmd: 'ChangeSubscription',
    params: { stream_id: id, amount: 20, prorate: true },
    result: { ...subscription, amount: 20, adjustment: -5 },
    refusal: 'invalid_amount',
  },
  cancelSubscription: {
    call: (c) => c.cancelSubscription(id, 'moved away', ORDER),
    cmd: 'CancelSubscription',
    params: { stream_id: id, reason: 'moved away' },
    result: { ...subscription, status: 'closed', why: 'by_service', next_due: null, acts_at: null },
    refusal: 'not_found',
  },
  getSubscription: {
    call: (c) => c.getSubscription(id),
    cmd: 'GetSubscription',
    params: { stream_id: id },
    read: true,
    result: subscription,
    refusal: 'not_configured',
  },
  listSubscriptions: {
    call: (c) => c.listSubscriptions({ main_key: USER, open: true, after: id, limit: 1 }),
    cmd: 'ListSubscriptions',
    params: { main_key: USER, open: true, after: id, limit: 1 },
    read: true,
    result: { subscriptions: [subscription], next: id },
    refusal: 'invalid_key',
  },
  'listSubscriptions of everybody': {
    call: (c) => c.listSubscriptions(),
    cmd: 'ListSubscriptions',
    read: true,
    result: { subscriptions: [subscription], next: id },
    refusal: 'not_configured',
  },
  'mintCashu with a lock': {
    call: (c) => c.mintCashu(MINT, undefined, 'vip', 1, undefined, { lock_to: USER, lock_until: due }),
    cmd: 'MintCashu',
    params: { mint_url: MINT, unit: 'vip', amount: 1, lock_to: USER, lock_until: 1767225600 },
    result: 'cashuA',
    refusal: 'mint_unreachable',
  },
  'burnCashu of a certain amount': {
    call: (c) => c.burnCashu(MINT, 'vip', 'cashuB', undefined, { amount: 1 }),
    cmd: 'BurnCashu',
    params: { mint_url: MINT, unit: 'vip', token: 'cashuB', amount: 1 },
    result: 10,
    refusal: 'wrong_ticket',
  },
  redeemCashu: {
    call: (c) => c.redeemCashu({ mint_url: MINT, unit: 'sat', token: 'cashuB', amount: 10, static_auth_token: 'static' }),
    cmd: 'BurnCashu',
    params: { mint_url: MINT, unit: 'sat', token: 'cashuB', amount: 10, static_auth_token: 'static' },
    result: { amount: 10, kept: 0 },
    refusal: 'ticket_spent',
  },
  takeBackCashu: {
    call: (c) => c.takeBackCashu('cashuB'),
    cmd: 'TakeBackCashu',
    params: { token: 'cashuB' },
    result: 10,
    refusal: 'ticket_pending',
  },
  getCashuWallet: {
    call: (c) => c.getCashuWallet(),
    cmd: 'GetCashuWallet',
    read: true,
    result: {
      balances: [{ mint_url: MINT, unit: 'sat', available: 10, reserved: 0, given: 1 }],
      unclaimed: [{ mint_url: MINT, unit: 'vip', amount: 1, since: due, token: 'cashuB' }],
      open: [{ kind: 'mint', mint_url: MINT, unit: 'vip', amount: 1, since: due }],
    },
    refusal: 'not_configured',
  },
  listTicketEvents: {
    call: (c) => c.listTicketEvents(4),
    cmd: 'ListTicketEvents',
    params: { after: 4 },
    read: true,
    result: [{ number: 5, at: due, event: { type: 'spent', key: 'mint:order-17', mint: MINT, unit: 'vip', amount: 1, used: true } }],
    refusal: 'not_configured',
  },
  checkTicket: {
    call: (c) => c.checkTicket({ mint_url: MINT, unit: 'vip', token: 'cashuB', amount: 1, offline: 'locked_to_us' }),
    cmd: 'CheckTicket',
    params: { mint_url: MINT, unit: 'vip', token: 'cashuB', amount: 1, offline: 'locked_to_us' },
    result: { verdict: 'valid', amount: 1 },
    refusal: 'mint_unauthorized',
  },
};

for (const [name, { call, cmd, params, read, result, refusal }] of Object.entries(CALLS)) {
  test(name, async (t) => {
    const { daemon, client } = await loggedIn(t, { autopilot: true });
    assert.deepEqual(await call(client), result);
    const { id: _, idempotency_key: key, ...frame } = daemon.of(cmd)[0]!;
    assert.deepEqual(frame, params === undefined ? { cmd } : { cmd, params });
    assert.equal(typeof key, read ? 'undefined' : 'string');
  });

  test(`${name}, refused`, async (t) => {
    const { daemon, client } = await loggedIn(t);
    daemon.on(cmd, () => {
      throw new Refusal('no', refusal, true);
    });
    await assert.rejects(call(client), (error: PortalSDKError) => {
      // What has a key can be repeated with it, also when it was a random one.
      assert.equal(error.idempotencyKey, daemon.of(cmd)[0]!.idempotency_key);
      return sdkError('SERVER_ERROR', { daemonCode: refusal, retryable: true })(error);
    });
  });
}

test('a key of one’s own goes with a payment, and does it once', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const pay = (): Promise<unknown> => client.payInstruction('jo@example.com', { amount_msat: 5000 }, ORDER);
  assert.deepEqual(await pay(), await pay());
  assert.deepEqual(daemon.of('PayInstruction').map((frame) => frame.idempotency_key), ['order-17', 'order-17']);
  assert.equal(daemon.executed.get('PayInstruction'), 1);
});

test('a payment that is pending goes on under the random key that its error names', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('PayInstruction', () => {
    throw new Refusal('not known yet', 'payment_pending', true);
  });
  const error = await client.payInstruction('jo@example.com', { amount_msat: 5000 }).then(() => assert.fail('paid'), (thrown: PortalSDKError) => thrown);
  assert.equal(error.daemonCode, 'payment_pending');
  const again = client.payInstruction('jo@example.com', { amount_msat: 5000 }, { idempotencyKey: error.idempotencyKey });
  await assert.rejects(again, sdkError('SERVER_ERROR', { daemonCode: 'payment_pending' }));
  const [first, second] = daemon.of('PayInstruction');
  assert.equal(second?.idempotency_key, first?.idempotency_key);
});

test('calls that wait for a wallet, a stranger or a mint have the longer limit, the others the shorter', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, { requestTimeout: 20, waitTimeout: 30 });
  const slow: Record<string, () => Promise<unknown>> = {
    PayInstruction: () => client.payInstruction('jo@example.com'),
    WithdrawLnurl: () => client.withdrawLnurl('lnurl1'),
    TakeBackCashu: () => client.takeBackCashu('cashuB'),
  };
  const prompt: Record<string, () => Promise<unknown>> = {
    ReadPaymentInstruction: () => client.readPaymentInstruction('lnbc1'),
    LookupPayment: () => client.lookupPayment(HASH),
    PauseSubscription: () => client.pauseSubscription(id),
    GetCashuWallet: () => client.getCashuWallet(),
    CheckTicket: () => client.checkTicket({ mint_url: MINT, unit: 'vip', token: 'cashuB' }),
  };
  for (const [calls, limit] of [[slow, 30], [prompt, 20]] as const) {
    for (const [cmd, call] of Object.entries(calls)) {
      daemon.on(cmd, () => new Promise(() => undefined));
      await assert.rejects(call, sdkError('REQUEST_TIMEOUT', { message: `${cmd}: timeout, no answer within ${limit} ms` }));
    }
  }
  await assert.rejects(client.payInstruction('x', {}, { timeout: 5 }), sdkError('REQUEST_TIMEOUT', { message: 'PayInstruction: timeout, no answer within 5 ms' }));
});

test('a payment that the wallet does not know is null, and one that has not settled has no moment', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const pending = { direction: 'outgoing', state: 'pending', amount_msat: 1, fees_paid_msat: 0, settled_at: null };
  daemon.on('LookupPayment', () => ({ type: 'lookup_payment', payment: pending }));
  assert.deepEqual(await client.lookupPayment(HASH), pending);
  daemon.on('LookupPayment', () => ({ type: 'lookup_payment', payment: null }));
  assert.equal(await client.lookupPayment(HASH), null);
});

test('a wallet that tells more is shown with it', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const info = { wallet_type: 'nwc', balance_msat: 1, network: 'bitcoin', caps_fees: false };
  daemon.on('GetWalletInfo', () => ({ type: 'wallet_info', ...info, balance_at: '1767225600' }));
  assert.deepEqual(await client.getWalletInfo(), { ...info, balance_at: due });
});

test('a recurring payment that the daemon charges names its stream', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const status = { status: 'confirmed', subscription_id: 'sub-1', authorized_amount: 10, authorized_currency: 'EUR', authorized_recurrence: {} };
  daemon.on('RequestRecurringPayment', () => ({ type: 'recurring_payment', status: { request_id: 'r', status }, schedule_stream_id: id }));
  const answer = await client.requestRecurringPayment(USER, [], {
    amount: 10,
    currency: 'EUR',
    recurrence: monthly,
    expires_at: due,
    schedule: { trial_until: due },
  });
  assert.equal(answer.schedule_stream_id, id);
  assert.equal(answer.subscription_id, 'sub-1');
  assert.deepEqual(daemon.of('RequestRecurringPayment')[0]?.params.payment_request.schedule, { trial_until: '1767225600' });
});

test('a subscription that was never agreed to is cancelled without one', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('CancelSubscription', ({ stream_id }) => ({ type: 'subscription_cancelled', stream_id, subscription: null }));
  assert.equal(await client.cancelSubscription(id), null);
  assert.deepEqual(daemon.of('CancelSubscription')[0]?.params, { stream_id: id });
});

test('the last list of subscriptions has no next', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('ListSubscriptions', () => ({ type: 'subscriptions', subscriptions: [] }));
  assert.deepEqual(await client.listSubscriptions(), { subscriptions: [] });
});

test('a subscription is read to its end, over a lost socket, and from an index after a restart', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.openStream(id);
  const tell = (status: object): void => daemon.notify(id, { type: 'subscription_update', status });
  tell({ status: 'scheduled', subscription_id: 'sub-1', amount: 10, next_due: '1767225600' });
  const heard: unknown[] = [];
  client.on('subscription_update', (data) => heard.push(data));
  const events = client.streamSubscription(id);
  assert.deepEqual((await events.next()).value, { index: 0, status: 'scheduled', subscription_id: 'sub-1', amount: 10, next_due: due });
  daemon.cut();
  tell({ status: 'charge_failed', period: 0, attempt: 0, cause: 'timeout', retry_at: null });
  tell({ status: 'closed', why: 'by_person' });
  const rest: unknown[] = [];
  for await (const event of events) rest.push(event);
  const failed = { index: 1, status: 'charge_failed', period: 0, attempt: 0, cause: 'timeout', retry_at: null };
  const closed = { index: 2, status: 'closed', why: 'by_person' };
  assert.deepEqual(rest, [failed, closed]);
  assert.equal(heard.length, 3);

  const again: unknown[] = [];
  for await (const event of client.streamSubscription(id, 0)) again.push(event);
  assert.deepEqual(again, [failed, closed]);
  // Whoever reads it as any stream sees its end too.
  const raw: unknown[] = [];
  for await (const { index, data } of client.streamEvents(id, 1)) raw.push([index, data.type]);
  assert.deepEqual(raw, [[2, 'subscription_update']]);
});

test('a subscription that nobody knows rejects its loop', async (t) => {
  const { client } = await loggedIn(t);
  await assert.rejects(client.streamSubscription(id).next(), sdkError('STREAM_LOST', { daemonCode: 'stream_not_found' }));
});

test('a refund is a stream too, which a backend reads again after its restart', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const refunded = { payment: 'stream-1', amount_msat: 700, fees_paid_msat: 1, preimage: PREIMAGE };
  const refund = await client.streamRefund('stream-1', { amount_msat: 700 }, ORDER);
  client.disconnect();
  await assert.rejects(refund.next(), sdkError('CONNECTION_CLOSED'));
  daemon.notify(refund.streamId, { type: 'refunded', ...refunded });
  await client.connect();
  await client.authenticate(daemon.token);
  const ends: unknown[] = [];
  for await (const { data } of client.streamEvents(refund.streamId)) ends.push(data);
  assert.deepEqual(ends, [{ type: 'refunded', ...refunded }]);
  assert.deepEqual(await client.refundPayment('stream-1', { amount_msat: 700 }, ORDER), refunded);
  assert.equal(daemon.executed.get('RefundPayment'), 1);
});

test('waiting for a refund ends in time and leaves nothing behind; the refund goes on', async (t) => {
  const { daemon, client, errors } = await loggedIn(t, {}, { waitTimeout: 20 });
  await assert.rejects(client.refundPayment('stream-1'), (error: PortalSDKError) => {
    const { streamId } = error.details as { streamId: string };
    daemon.notify(streamId, { type: 'refunded', payment: 'stream-1', amount_msat: 1, fees_paid_msat: 0, preimage: PREIMAGE });
    return sdkError('REQUEST_TIMEOUT', { retryable: false })(error);
  });
  await client.getWalletInfo();
  assert.equal((client as unknown as { streams: { size: number } }).streams.size, 0);
  assert.deepEqual(errors, []);
  await assert.rejects(client.refundPayment('stream-1', {}, { timeout: 5 }), sdkError('REQUEST_TIMEOUT'));
});

test('a refund goes on over a lost socket', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const refunded = { payment: 'stream-1', amount_msat: 1, fees_paid_msat: 0, preimage: PREIMAGE };
  daemon.on('RefundPayment', (_params, d) => ({ type: 'refund_payment', stream_id: d.openStream('refund-1') }));
  const refund = client.refundPayment('stream-1');
  await until(() => (client as unknown as { streams: { size: number } }).streams.size === 1, 'the refund is read');
  daemon.cut();
  daemon.notify('refund-1', { type: 'refunded', ...refunded });
  assert.deepEqual(await refund, refunded);
});

test('what a door is told, word by word', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const ticket = { mint_url: MINT, unit: 'vip', token: 'cashuB' };
  for (const verdict of [
    { verdict: 'valid', amount: 1, offline: true },
    { verdict: 'used' },
    { verdict: 'unreachable' },
    { verdict: 'refused', reason: 'forged' },
  ]) {
    daemon.on('CheckTicket', () => ({ type: 'ticket_verdict', ...verdict }));
    assert.deepEqual(await client.checkTicket(ticket), verdict);
  }
  // Each time a ticket is shown it is looked at anew.
  assert.equal(new Set(daemon.of('CheckTicket').map((frame) => frame.idempotency_key)).size, 4);
});

test('money that a daemon keeps when it redeems a token is told', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('BurnCashu', () => ({ type: 'cashu_burn', amount: 10, kept: 9 }));
  assert.deepEqual(await client.redeemCashu({ mint_url: MINT, unit: 'sat', token: 'cashuB' }), { amount: 10, kept: 9 });
});

test('an answer of another kind is an error', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('GetSubscription', () => ({ type: 'subscriptions', subscriptions: [] }));
  await assert.rejects(client.getSubscription(id), sdkError('UNEXPECTED_RESPONSE'));
});

/** Every code with its number; a code that the type has and this has not, or the other way round, does not compile. */
const CODES: Record<DaemonErrorCode, number> = {
  unauthenticated: 100,
  auth_failed: 101,
  rate_limited: 102,
  invalid_request: 200,
  unknown_command: 201,
  invalid_key: 202,
  invalid_url: 203,
  invalid_calendar: 204,
  invalid_amount: 205,
  invalid_time: 206,
  invalid_token: 207,
  invalid_invoice: 208,
  too_large: 209,
  invalid_subkey_proof: 210,
  invalid_mnemonic: 211,
  forbidden_address: 212,
  not_found: 300,
  stream_not_found: 301,
  idempotency_conflict: 302,
  not_configured: 303,
  timeout: 304,
  declined: 305,
  cancelled: 306,
  too_many: 307,
  already_answered: 308,
  relay_unreachable: 400,
  relay_refused: 401,
  not_delivered: 402,
  wallet_unavailable: 500,
  wallet_refused: 501,
  payment_failed: 502,
  payment_pending: 503,
  insufficient_funds: 504,
  wallet_unsupported: 505,
  fee_too_high: 507,
  spending_limit: 508,
  not_refundable: 509,
  rate_unavailable: 510,
  recipient_failed: 520,
  wrong_ticket: 540,
  ticket_spent: 541,
  ticket_pending: 542,
  ticket_locked: 543,
  ticket_expired: 544,
  not_transferable: 545,
  mint_unreachable: 550,
  mint_refused: 551,
  mint_misbehaved: 552,
  mint_unauthorized: 553,
  mint_unsupported: 554,
  key_locked: 600,
  main_key_required: 601,
  storage_failed: 700,
  storage_too_new: 701,
  shutting_down: 800,
  internal: 900,
};

test('the type has the codes of the daemon, and no others', () => {
  const table = fileURLToPath(new URL('../../../../portal-core/src/primitives/error_codes.golden', import.meta.url));
  const rows = readFileSync(table, 'utf8').trim().split('\n').map((row) => row.split(' '));
  assert.deepEqual(CODES, Object.fromEntries(rows.map(([number, code]) => [code, Number(number)])));
});
