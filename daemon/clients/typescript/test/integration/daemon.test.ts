/**
 * The client against a real daemon in its `--dev` mode, by `npm run test:integration`.
 *
 * PORTAL_DAEMON_URL is its address (`http://…`, or `ws://…` of its socket), PORTAL_DAEMON_TOKEN its token.
 * Nobody opens a URL or answers a request here; what needs a person is tested where wallets are.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Currency, PortalSDKError, Timestamp, type ClientConfig, type InvoiceStatus, type PortalSDK } from 'portal-sdk';
import { WebSocket } from 'ws';
import { until } from '../fake-daemon.js';
import { clientOf, sdkError } from '../support.js';
import { Proxy } from './proxy.js';

const url = socketUrl(required('PORTAL_DAEMON_URL'));
const token = required('PORTAL_DAEMON_TOKEN');
/** A key of somebody who is not there. */
const NOBODY = 'f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9';
const TEA = { amount: 1000, currency: Currency.Millisats, description: 'tea' };
/** An invoice over 250,000 sat from the BOLT 11 document, which is not of the daemon's wallet. */
const FOREIGN = {
  amount: 250_000_000,
  currency: Currency.Millisats,
  description: 'a cup of coffee',
  invoice:
    'lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh',
};

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} has to name a running daemon`);
  return value;
}

/** Either address of the daemon as that of its socket. */
function socketUrl(address: string): string {
  const socket = new URL(address);
  socket.protocol = socket.protocol.replace(/^http/, 'ws');
  if (socket.pathname === '/') socket.pathname = '/ws';
  return socket.href;
}

async function open(t: TestContext, through: string = url, config: Partial<ClientConfig> = {}): Promise<{ client: PortalSDK; errors: PortalSDKError[] }> {
  const client = clientOf(t, through, config);
  const errors: PortalSDKError[] = [];
  client.on({ onError: (error) => errors.push(error) });
  await client.connect();
  await client.authenticate(token);
  return { client, errors };
}

/** A name that no test has used, also when the daemon has been running before. */
const unique = (name: string): string => `${name}-${process.pid}-${Date.now()}`;
const refused = (daemonCode: string): ((error: unknown) => boolean) => sdkError('SERVER_ERROR', { daemonCode, retryable: false });

test('a wrong token is AUTH_FAILED, and the right one still opens', async (t) => {
  const client = clientOf(t, url);
  let closed = 0;
  client.on({ onDisconnected: () => (closed += 1) });
  await client.connect();
  await assert.rejects(
    client.authenticate('certainly-wrong'),
    sdkError('AUTH_FAILED', { daemonCode: 'auth_failed', retryable: false, message: 'Authentication failed' }),
  );
  await until(() => closed === 1, 'the daemon closes the socket');
  await client.authenticate(token);
  assert.equal((await client.getWalletInfo()).wallet_type, 'simulated');
});

test('a call before the log-in is refused', async (t) => {
  const client = clientOf(t, url, { connectTimeout: 100 });
  await client.connect();
  await assert.rejects(client.getWalletInfo(), sdkError('AUTH_FAILED'));
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
    socket.on('open', () => socket.send('{"id":7,"cmd":"GetWalletInfo"}'));
    socket.on('message', (frame) => resolve(JSON.parse(String(frame))));
    socket.on('close', () => reject(new Error('closed without an answer')));
    socket.on('error', reject);
  });
  assert.deepEqual([answer['type'], answer['id'], answer['code']], ['error', 7, 'unauthenticated']);
});

test('handshake URLs: one-time ones differ, a static one is the same with the same stream', async (t) => {
  const { client } = await open(t);
  const [a, b] = [await client.streamKeyHandshakes(), await client.streamKeyHandshakes()];
  assert.match(a.url, /^portal:\/\/npub1[a-z0-9]+\?relays=[^&]+&token=[A-Za-z0-9]+$/);
  assert.notEqual(a.url, b.url);
  assert.notEqual(a.streamId, b.streamId);
  const name = unique('table 7 & co');
  const first = await client.streamKeyHandshakes(name);
  const other = await open(t);
  const second = await other.client.streamKeyHandshakes(name);
  assert.equal(second.url, first.url);
  assert.equal(second.streamId, first.streamId);
  assert.equal(new URL(first.url).searchParams.get('token'), name);
  assert.equal(await client.newKeyHandshakeUrl(() => undefined, name), first.url);
  const next = first.next();
  await client.revokeStaticToken(name);
  assert.deepEqual(await next, { done: true, value: undefined });
  const anew = await client.streamKeyHandshakes(name);
  assert.notEqual(anew.streamId, first.streamId);
  await client.revokeStaticToken(name);
});

test('tokens are issued, verified, and refused when broken', async (t) => {
  const { client } = await open(t);
  const [, issuer] = /^portal:\/\/(npub1[a-z0-9]+)/.exec(await client.newKeyHandshakeUrl()) ?? [];
  const jwt = await client.issueJwt(NOBODY, 1);
  assert.deepEqual(await client.verifyJwt(issuer!, jwt), { target_key: NOBODY });
  await assert.rejects(client.verifyJwt(NOBODY, jwt), refused('invalid_token'));
  await assert.rejects(client.verifyJwt(issuer!, 'x.y.z'), refused('invalid_token'));
  await assert.rejects(client.issueJwt(NOBODY, 0), refused('invalid_time'));
  await assert.rejects(client.issueJwt(NOBODY, Number.MAX_SAFE_INTEGER), refused('invalid_time'));
});

test('calendars', async (t) => {
  const { client } = await open(t);
  const next = await client.calculateNextOccurrence('monthly', new Timestamp(1767225601));
  assert.equal(next?.toDate().toISOString(), '2026-02-01T00:00:00.000Z');
  assert.equal((await client.calculateNextOccurrence('daily', new Timestamp(0)))?.toDate().getTime(), 0);
  await assert.rejects(client.calculateNextOccurrence('no calendar', Timestamp.fromNow(0)), refused('invalid_calendar'));
});

test('profiles', async (t) => {
  const { client } = await open(t);
  assert.equal(await client.fetchProfile(NOBODY), null);
  const [, own] = /^portal:\/\/(npub1[a-z0-9]+)/.exec(await client.newKeyHandshakeUrl()) ?? [];
  const name = unique('shop');
  await client.setProfile({ id: '', pubkey: '', name, display_name: 'The Shop' });
  const profile = await client.fetchProfile(own!);
  assert.deepEqual([profile?.name, profile?.display_name, profile?.pubkey], [name, 'The Shop', own]);
  await assert.rejects(client.fetchProfile('no key'), refused('invalid_key'));
  for (const address of ['no address', 'nobody@localhost']) {
    await assert.rejects(client.fetchNip05Profile(address), refused('not_found'));
  }
});

test('relays', async (t) => {
  const { client } = await open(t);
  const relay = 'wss://relay.invalid';
  assert.equal(await client.addRelay(relay), relay);
  assert.equal(await client.removeRelay(relay), relay);
  await assert.rejects(client.addRelay('not a relay'), refused('invalid_url'));
});

test('wallet and mint', async (t) => {
  const { client } = await open(t);
  const info = await client.getWalletInfo();
  assert.ok(Number.isSafeInteger(info.balance_msat) && info.balance_msat > 0);
  assert.equal(info.network, 'regtest');
  assert.equal(info.caps_fees, true);
  assert.ok(info.balance_at! <= Timestamp.fromNow(1));
  await assert.rejects(client.payInvoice('lnbc1'), refused('invalid_invoice'));
  await assert.rejects(client.payInvoice(FOREIGN.invoice, { max_fee_msat: 1000 }), refused('invalid_invoice'));
  await assert.rejects(client.payInvoice(FOREIGN.invoice, { max_fee_msat: -1 }), refused('invalid_request'));
  assert.equal(await client.lookupPayment('11'.repeat(32)), null);
  await assert.rejects(client.lookupPayment('no hash'), refused('invalid_request'));
  // With a ticket wallet the mint is not there, without one there is nothing to ask it with.
  const noMint = (error: unknown): boolean => {
    assert.ok(error instanceof PortalSDKError);
    assert.match(error.daemonCode ?? '', /^(not_configured|mint_unreachable)$/);
    assert.equal(typeof error.idempotencyKey, 'string');
    return true;
  };
  await assert.rejects(client.mintCashu('https://mint.invalid', undefined, 'sat', 1), noMint);
  await assert.rejects(client.mintCashu('https://mint.invalid', undefined, 'vip', 1, 'front row', { lock_to: NOBODY, lock_until: Timestamp.fromNow(60) }), noMint);
});

test('payment instructions', async (t) => {
  const { client } = await open(t);
  const address = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
  const onChain = await client.readPaymentInstruction(`bitcoin:${address}?amount=0.5`);
  assert.ok(onChain.kind === 'cannot_pay' && onChain.what !== '');
  assert.equal(onChain.amount_msat, 50_000_000_000);
  await assert.rejects(client.payInstruction(address), sdkError('SERVER_ERROR', { retryable: false }));
  await assert.rejects(client.readPaymentInstruction('no instruction'), refused('invalid_invoice'));
  await assert.rejects(client.payInstruction(FOREIGN.invoice), refused('invalid_invoice'));
  // Nobody is at these.
  const gone = sdkError('SERVER_ERROR', { daemonCode: 'recipient_failed', retryable: true });
  await assert.rejects(client.readPaymentInstruction('jo@host.invalid'), gone);
  await assert.rejects(client.payInstruction('jo@host.invalid', { amount_msat: 1000, comment: 'tea' }, { idempotencyKey: unique('order') }), gone);
  await assert.rejects(client.withdrawLnurl('lnurlw://host.invalid/withdraw', { amount_msat: 1000 }), gone);
});

test('what was not paid is not given back', async (t) => {
  const { client } = await open(t);
  await assert.rejects(client.refundPayment('no stream'), refused('stream_not_found'));
  const payment = await client.streamSinglePayment(NOBODY, [], TEA);
  await assert.rejects(client.refundPayment(payment.streamId, { amount_msat: 1 }), refused('not_refundable'));
  await assert.rejects(client.streamRefund(payment.streamId), refused('not_refundable'));
});

test('subscriptions are charged only where that is switched on', async (t) => {
  const { client } = await open(t);
  const recurrence = { calendar: 'monthly', first_payment_due: Timestamp.fromNow(86_400) };
  const agreed = { subscription_id: 'sub-1', amount: 1000, currency: Currency.Millisats, recurrence };
  await assert.rejects(client.scheduleSubscription(NOBODY, [], agreed, { time_zone: 'Europe/Rome' }), refused('not_configured'));
  const recurring = { ...TEA, recurrence, expires_at: Timestamp.fromNow(2), schedule: {} };
  await assert.rejects(client.requestRecurringPayment(NOBODY, [], recurring), refused('not_configured'));
  assert.deepEqual(await client.listSubscriptions({ open: true }), { subscriptions: [] });
  await assert.rejects(client.getSubscription('00000000-0000-0000-0000-000000000000'), refused('not_found'));
});

test('messages that nobody has to answer are sent', async (t) => {
  const { client } = await open(t);
  assert.equal(await client.closeRecurringPayment(NOBODY, [], 'sub-1'), 'Recurring payment closed');
  assert.equal(await client.sendCashuDirect(NOBODY, [], 'cashuA'), 'Cashu direct sent');
  const stop = await client.listenClosedRecurringPayment(() => assert.fail('nobody closes anything'));
  stop();
});

test('requests that nobody answers end with timeout', async (t) => {
  const { client } = await open(t);
  const soon = Timestamp.fromNow(2);
  const recurring = { ...TEA, recurrence: { calendar: 'monthly', first_payment_due: Timestamp.fromNow(60) }, expires_at: soon };
  const late = sdkError('SERVER_ERROR', { daemonCode: 'timeout', retryable: true });
  await Promise.all([
    assert.rejects(client.requestRecurringPayment(NOBODY, [], recurring), late),
    assert.rejects(client.requestInvoice(NOBODY, [], { ...TEA, expires_at: soon }), late),
    assert.rejects(client.authenticateKey(NOBODY, [], { timeout: 500 }), sdkError('REQUEST_TIMEOUT')),
    assert.rejects(client.requestCashu(NOBODY, [], 'https://mint.invalid', 'sat', 1, { timeout: 500 }), sdkError('REQUEST_TIMEOUT')),
  ]);
});

test('what cannot be asked for is refused with its code', async (t) => {
  const { client } = await open(t);
  const pay = (more: object): Promise<unknown> => client.streamSinglePayment(NOBODY, [], { ...TEA, ...more });
  await assert.rejects(client.authenticateKey('no key'), refused('invalid_key'));
  await assert.rejects(client.authenticateKey(NOBODY, ['no key']), refused('invalid_key'));
  await assert.rejects(pay({ currency: 'eur' }), refused('invalid_amount'));
  await assert.rejects(pay({ currency: 'JPY', amount: 150 }), refused('invalid_amount'));
  await assert.rejects(pay({ currency: 'XXX' }), sdkError('SERVER_ERROR', { daemonCode: 'rate_unavailable', retryable: true }));
  await assert.rejects(pay({ amount: 0 }), refused('invalid_amount'));
  await assert.rejects(pay({ amount: -1 }), refused('invalid_request'));
  await assert.rejects(client.streamInvoicePayment(NOBODY, [], { ...TEA, invoice: 'lnbc1' }), refused('invalid_invoice'));
  await assert.rejects(client.sendCommand('NoSuchCommand'), refused('unknown_command'));
  await assert.rejects(client.sendCommand('VerifyJwt', {}), refused('invalid_request'));
});

test('a payment is a stream that can be read again, until it is over', async (t) => {
  const { client } = await open(t);
  const unpaid = await client.streamSinglePayment(NOBODY, [], TEA);
  assert.deepEqual(await client.sendCommand('ResumeStream', { stream_id: unpaid.streamId }), {
    type: 'stream_resumed',
    stream_id: unpaid.streamId,
    events: 0,
    open: true,
  });
  unpaid.close();

  const payment = await client.streamInvoicePayment(NOBODY, [], { ...FOREIGN, expires_at: Timestamp.fromNow(1) });
  const statuses: string[] = [];
  for await (const { status } of payment) statuses.push(status);
  assert.deepEqual(statuses, ['timeout']);
  const again: unknown[] = [];
  for await (const event of client.streamEvents(payment.streamId)) again.push(event);
  assert.deepEqual(again, [{ index: 0, data: { type: 'payment_status_update', status: { status: 'timeout' } } }]);
  assert.deepEqual(await client.streamEvents(payment.streamId, 0).next(), { done: true, value: undefined });
  // Readers of one stream do not take from each other, wherever they begin.
  const readers = Array.from({ length: 20 }, (_, i) => client.streamEvents(payment.streamId, i % 2 === 0 ? undefined : 0));
  const firsts = await Promise.all(readers.map((reader) => reader.next()));
  assert.deepEqual(firsts.map(({ done }) => done ?? false), readers.map((_, i) => i % 2 === 1));
  await assert.rejects(
    client.streamEvents('00000000-0000-0000-0000-000000000000').next(),
    sdkError('STREAM_LOST', { daemonCode: 'stream_not_found' }),
  );
});

test('amounts in fiat are priced when they are asked for', async (t) => {
  const { client } = await open(t);
  const payment = await client.streamSinglePayment(NOBODY, [], { ...TEA, amount: 250, currency: 'EUR' });
  assert.match(payment.streamId, /^[0-9a-f-]{36}$/);
});

test('the same key does a thing once', async (t) => {
  const { client } = await open(t);
  const other = await open(t);
  const options = { idempotencyKey: unique('key') };
  const one = await client.streamSinglePayment(NOBODY, [], TEA, options);
  const two = await other.client.streamSinglePayment(NOBODY, [], TEA, options);
  assert.equal(two.streamId, one.streamId);
  await assert.rejects(client.streamSinglePayment(NOBODY, [], { ...TEA, amount: 2 }, options), refused('idempotency_conflict'));
  await assert.rejects(client.addRelay('wss://relay.invalid', options), refused('idempotency_conflict'));
  const without = await client.streamSinglePayment(NOBODY, [], TEA);
  assert.notEqual(without.streamId, one.streamId);
});

test('after a lost connection everything goes on: streams, calls, and what is asked meanwhile', async (t) => {
  const proxy = await Proxy.start(t, url);
  const { client, errors } = await open(t, proxy.url);
  const events: string[] = [];
  client.on({ onConnected: () => events.push('connected'), onDisconnected: () => events.push('disconnected') });
  const name = unique('reconnect');
  const handshakes = await client.streamKeyHandshakes(name);
  const closed = await client.streamClosedRecurringPayments();
  const statuses: InvoiceStatus[] = [];
  const payment = { ...FOREIGN, expires_at: Timestamp.fromNow(2) };
  await client.requestInvoicePayment(NOBODY, [], payment, (status) => statuses.push(status));
  const invoice = client.requestInvoice(NOBODY, [], { ...TEA, expires_at: Timestamp.fromNow(3) });
  const ended = assert.rejects(invoice, sdkError('SERVER_ERROR', { daemonCode: 'timeout' }));
  await client.getWalletInfo();

  proxy.down();
  await until(() => events.length > 0, 'the loss is noticed');
  const meanwhile = client.issueJwt(NOBODY, 1);
  proxy.up();
  assert.match(await meanwhile, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.deepEqual(events, ['disconnected', 'connected']);
  assert.equal(proxy.connections, 2);
  for (const stream of [handshakes, closed]) {
    assert.ok(proxy.heard.includes(`"stream_resumed","stream_id":"${stream.streamId}"`), stream.streamId);
  }
  // The daemon answers on the new socket what was begun on the old one.
  await ended;
  assert.deepEqual(statuses, [{ status: 'timeout' }]);
  // The static URL has not changed, and its stream is still read.
  assert.equal(await client.newKeyHandshakeUrl(undefined, name), handshakes.url);
  assert.deepEqual(errors.filter(({ code }) => code !== 'CONNECTION_CLOSED'), []);
  const next = handshakes.next();
  await client.revokeStaticToken(name);
  assert.deepEqual(await next, { done: true, value: undefined });
});

test('many streams and many lost connections: each status once', async (t) => {
  const proxy = await Proxy.start(t, url);
  const { client } = await open(t, proxy.url);
  const seen = new Map<number, string[]>();
  const expires_at = Timestamp.fromNow(5);
  const calls: Promise<void>[] = [];
  for (let round = 0; round < 5; round += 1) {
    for (let i = 0; i < 20; i += 1) {
      const number = round * 20 + i;
      seen.set(number, []);
      calls.push(client.requestInvoicePayment(NOBODY, [], { ...FOREIGN, expires_at }, ({ status }) => seen.get(number)!.push(status)));
    }
    await calls[round * 20];
    proxy.cut();
  }
  await Promise.all(calls);
  await until(() => [...seen.values()].every((statuses) => statuses.length > 0), 'all have ended');
  assert.deepEqual(new Set([...seen.values()].map((statuses) => statuses.join())), new Set(['timeout']));
  assert.ok(proxy.connections >= 5, `${proxy.connections}`);
});

test('a daemon that is silent is asked for a sign of life, and gives it', async (t) => {
  const proxy = await Proxy.start(t, url);
  class Browser extends WebSocket {}
  // Browsers cannot ping.
  Object.defineProperty(Browser.prototype, 'ping', { value: undefined });
  const { client } = await open(t, proxy.url, { webSocket: Browser as never, heartbeat: 500 });
  const handshakes = await client.streamKeyHandshakes();
  await until(() => (proxy.heard.match(/"calculate_next_occurrence"/g) ?? []).length >= 2, 'two signs of life');
  assert.equal(proxy.connections, 1);
  handshakes.close();
});
