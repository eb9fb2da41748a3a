/** Opening, logging in and closing, and what becomes of calls that nobody answers. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { PortalSDK, PortalSDKError } from 'portal-sdk';
import { Refusal, USER, until } from './fake-daemon.js';
import { clientOf, daemonFor, deferred, loggedIn, sdkError } from './support.js';

test('connect and authenticate, with their events', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  const events: string[] = [];
  client.on({ onConnected: () => events.push('connected') });
  client.on({ onDisconnected: () => events.push('disconnected') });
  await client.connect();
  await client.connect();
  await client.authenticate(daemon.token);
  client.disconnect();
  assert.deepEqual(events, ['connected', 'disconnected']);
  assert.equal(daemon.of('Auth').length, 1);
});

test('a second call of authenticate with the same token joins the first', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await client.connect();
  await Promise.all([client.authenticate(daemon.token), client.authenticate(daemon.token)]);
  await client.authenticate(daemon.token);
  assert.equal(daemon.of('Auth').length, 1);
});

test('a wrong token is AUTH_FAILED, with the daemon’s words', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await client.connect();
  await assert.rejects(
    client.authenticate('wrong'),
    sdkError('AUTH_FAILED', { daemonCode: 'auth_failed', retryable: false, message: 'Authentication failed' }),
  );
  await daemon.until(() => daemon.sockets.size === 0, 'the socket is closed');
  // It does not come back by itself, and the right token still works.
  await client.authenticate(daemon.token);
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('a wrong token of an older daemon is AUTH_FAILED', async (t) => {
  const daemon = await daemonFor(t, { old: true });
  const client = clientOf(t, daemon.url);
  await client.connect();
  await assert.rejects(client.authenticate('wrong'), sdkError('AUTH_FAILED', { daemonCode: undefined }));
});

test('words about authentication do not make an AUTH_FAILED', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('AuthenticateKey', () => {
    throw new Refusal('Failed to authenticate key: Timeout', 'timeout', true);
  });
  await assert.rejects(client.authenticateKey(USER), sdkError('SERVER_ERROR', { daemonCode: 'timeout', retryable: true }));
  const older = await loggedIn(t, { old: true });
  older.daemon.on('BurnCashu', () => {
    throw new Refusal('Failed to receive token', 'internal');
  });
  await assert.rejects(older.client.burnCashu('m', 'sat', 't'), sdkError('SERVER_ERROR', { message: 'Failed to receive token' }));
});

test('calls before the log-in wait for it, but not for ever', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url, { connectTimeout: 50 });
  await client.connect();
  await assert.rejects(client.fetchProfile(USER), sdkError('AUTH_FAILED'));
  const profile = client.fetchProfile(USER);
  await client.authenticate(daemon.token);
  assert.equal((await profile)?.name, 'jo');
  assert.deepEqual(daemon.frames.map(({ cmd }) => cmd), ['Auth', 'FetchProfile']);
});

test('calls while connecting wait for the log-in', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  const loggingIn = client.connect().then(() => client.authenticate(daemon.token));
  const info = client.getWalletInfo();
  await loggingIn;
  assert.equal((await info).wallet_type, 'nwc');
  await daemon.stop();
  const other = clientOf(t, daemon.url);
  const results = await Promise.allSettled([other.connect(), other.getWalletInfo()]);
  for (const result of results) {
    assert.equal(result.status, 'rejected');
    sdkError('CONNECTION_CLOSED', { retryable: true })(result.reason);
  }
});

test('a log-in by sendCommand counts', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await client.connect();
  assert.deepEqual(await client.sendCommand('Auth', { token: daemon.token }), { type: 'auth_success', message: 'Authenticated successfully' });
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('a socket that the daemon does not believe in is AUTH_FAILED by its code', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('FetchProfile', () => {
    throw new Refusal('Not authenticated', 'unauthenticated');
  });
  await assert.rejects(client.fetchProfile(USER), sdkError('AUTH_FAILED', { daemonCode: 'unauthenticated' }));
});

test('a call while the log-in is under way waits for it', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await client.connect();
  const [, info] = await Promise.all([client.authenticate(daemon.token), client.getWalletInfo()]);
  assert.equal(info.balance_msat, 21_000);
});

test('a call while a log-in fails is rejected', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await client.connect();
  const results = await Promise.allSettled([client.authenticate('wrong'), client.getWalletInfo()]);
  for (const result of results) {
    assert.equal(result.status, 'rejected');
    sdkError('AUTH_FAILED')(result.reason);
  }
});

test('calls without a connection are NOT_CONNECTED', async (t) => {
  const daemon = await daemonFor(t);
  const client = clientOf(t, daemon.url);
  await assert.rejects(client.getWalletInfo(), sdkError('NOT_CONNECTED'));
  await assert.rejects(client.authenticate('x'), sdkError('NOT_CONNECTED'));
  await assert.rejects(client.streamEvents('some-stream').next(), sdkError('NOT_CONNECTED'));
  await assert.rejects(client.requestSinglePayment(USER, [], { amount: 1, currency: 'EUR', description: '' }), sdkError('NOT_CONNECTED'));
});

test('a refused connection says so, once, and can be tried again', async (t) => {
  const daemon = await daemonFor(t);
  await daemon.stop();
  const client = clientOf(t, daemon.url);
  await assert.rejects(client.connect(), (error: PortalSDKError) => {
    assert.match(error.message, /ECONNREFUSED/);
    return sdkError('CONNECTION_CLOSED', { retryable: true })(error);
  });
  await daemon.listen();
  await client.connect();
});

test('a server that accepts and says nothing is a CONNECTION_TIMEOUT', async (t) => {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const client = clientOf(t, `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, { connectTimeout: 20 });
  await assert.rejects(client.connect(), (error: PortalSDKError) => {
    assert.match(error.message, /timeout/);
    return sdkError('CONNECTION_TIMEOUT')(error);
  });
});

test('disconnect while connecting rejects connect', async (t) => {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const client = clientOf(t, `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`);
  const connecting = client.connect();
  client.disconnect();
  await assert.rejects(connecting, sdkError('CONNECTION_CLOSED'));
});

test('an address that is none is rejected, not thrown', async () => {
  await assert.rejects(new PortalSDK({ serverUrl: 'nonsense' }).connect(), sdkError('CONNECTION_CLOSED'));
});

test('disconnect rejects whatever waits: calls, iterators, log-ins', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('AuthenticateKey', () => new Promise(() => undefined));
  const call = client.authenticateKey(USER);
  const payment = await client.streamSinglePayment(USER, [], { amount: 1, currency: 'EUR', description: '' });
  const status = payment.next();
  const closed = (await client.streamClosedRecurringPayments()).next();
  await daemon.until(() => daemon.of('AuthenticateKey').length === 1, 'the call arrives');
  client.disconnect();
  await assert.rejects(call, sdkError('CONNECTION_CLOSED', { retryable: false }));
  await assert.rejects(status, sdkError('CONNECTION_CLOSED'));
  await assert.rejects(closed, sdkError('CONNECTION_CLOSED'));
  await daemon.until(() => daemon.sockets.size === 0, 'the socket is closed');
  await assert.rejects(client.getWalletInfo(), sdkError('NOT_CONNECTED'));
});

test('a call that nobody answers times out, and a late answer is ignored', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const late = deferred<{ type: string }>();
  daemon.on('AuthenticateKey', () => late.promise);
  await assert.rejects(client.authenticateKey(USER, [], { timeout: 10 }), (error: PortalSDKError) => {
    assert.match(error.message, /AuthenticateKey: timeout/);
    // What may have been done is repeated with the same key or not at all.
    assert.equal(typeof (error.details as { idempotencyKey?: string }).idempotencyKey, 'string');
    return sdkError('REQUEST_TIMEOUT', { retryable: false })(error);
  });
  late.resolve({ type: 'auth_response' });
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('requestTimeout bounds what the daemon answers by itself, waitTimeout what people answer', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, { waitTimeout: 20, reconnect: false });
  daemon.on('FetchProfile', () => new Promise(() => undefined)).on('RequestCashu', () => new Promise(() => undefined));
  const cashu = client.requestCashu(USER, [], 'm', 'sat', 1);
  cashu.catch(() => undefined);
  await assert.rejects(cashu, sdkError('REQUEST_TIMEOUT'));
  // The log-in has the same limit, on a busy machine too.
  const again = await loggedIn(t, {}, { requestTimeout: 1000 });
  again.daemon.on('FetchProfile', () => new Promise(() => undefined));
  await assert.rejects(again.client.fetchProfile(USER), sdkError('REQUEST_TIMEOUT', { retryable: true }));
});

test('the caller’s own idempotency key is used', async (t) => {
  const { daemon, client } = await loggedIn(t);
  await client.payInvoice('lnbc1', { idempotencyKey: 'order-7' });
  await client.payInvoice('lnbc1', { idempotencyKey: 'order-7' });
  assert.equal(daemon.executed.get('PayInvoice'), 1);
  assert.deepEqual(daemon.of('PayInvoice').map((frame) => frame.idempotency_key), ['order-7', 'order-7']);
});

test('an answer of the wrong type is UNEXPECTED_RESPONSE', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('GetWalletInfo', () => ({ type: 'profile', profile: null }));
  daemon.on('RequestSinglePayment', () => ({ type: 'profile', profile: null }));
  await assert.rejects(client.getWalletInfo(), sdkError('UNEXPECTED_RESPONSE'));
  await assert.rejects(
    client.requestSinglePayment(USER, [], { amount: 1, currency: 'EUR', description: '' }),
    sdkError('UNEXPECTED_RESPONSE'),
  );
});

test('frames nobody can use harm nobody', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const seen: unknown[] = [];
  client.on('news', (data) => seen.push(data));
  for (const text of [
    'not json',
    'null',
    '7',
    '{"type":"success","id":"unknown","data":{"type":"profile"}}',
    '{"type":"error","id":"unknown","message":"m"}',
    '{"type":"notification","id":"unknown","index":3,"data":{"type":"key_handshake"}}',
    '{"type":"notification","id":"unknown"}',
    '{"type":"error","id":"","message":"Invalid command format","code":"invalid_request","retryable":false}',
    '{"type":"news","text":"hello"}',
    '{}',
  ]) {
    daemon.broadcast(text);
  }
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
  assert.deepEqual(errors.map((error) => error.code), ['PARSE_ERROR', 'PARSE_ERROR', 'PARSE_ERROR', 'SERVER_ERROR']);
  assert.equal(errors[3]?.daemonCode, 'invalid_request');
  assert.deepEqual(seen, [{ type: 'news', text: 'hello' }]);
});

test('without reconnecting, a lost socket rejects everything and says so', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, { reconnect: false });
  daemon.on('AuthenticateKey', () => new Promise(() => undefined));
  let disconnected = 0;
  client.on({ onDisconnected: () => (disconnected += 1) });
  const call = client.authenticateKey(USER);
  await daemon.until(() => daemon.of('AuthenticateKey').length === 1, 'the call arrives');
  daemon.cut();
  await assert.rejects(call, sdkError('CONNECTION_CLOSED'));
  await until(() => disconnected === 1, 'onDisconnected');
  await client.connect();
  await client.authenticate(daemon.token);
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('debug prints commands, never their contents', async (t) => {
  const lines: string[] = [];
  const debug = console.debug;
  console.debug = (...parts: unknown[]) => lines.push(parts.join(' '));
  t.after(() => {
    console.debug = debug;
  });
  const { client } = await loggedIn(t, { token: 'very-secret' }, { debug: true });
  await client.getWalletInfo();
  assert.ok(lines.some((line) => line.includes('-> GetWalletInfo')));
  assert.ok(!lines.some((line) => line.includes('very-secret')));
});
