/** Lost sockets in the middle of things: nothing is lost, nothing happens twice. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Currency, type InvoiceStatus, type PortalSDK, type SocketConstructor, type SocketLike } from 'portal-sdk';
import { WebSocket } from 'ws';
import { Refusal, USER, until, type Data, type FakeDaemon } from './fake-daemon.js';
import { clientOf, deferred, loggedIn, sdkError } from './support.js';

const TEA = { amount: 5000, currency: Currency.Millisats, description: 'tea' };

function approved(): Data {
  return { type: 'auth_response', event: { user_key: USER, recipient: USER, challenge: 'c', status: { status: 'approved' } } };
}

/** Collects the statuses of a payment. */
async function pay(client: PortalSDK): Promise<{ statuses: InvoiceStatus[] }> {
  const statuses: InvoiceStatus[] = [];
  await client.requestSinglePayment(USER, [], TEA, (status) => statuses.push(status));
  return { statuses };
}

const words = (statuses: InvoiceStatus[]): string[] => statuses.map(({ status }) => status);

test('a waiting AuthenticateKey survives lost sockets and is carried out once', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const answer = deferred<Data>();
  daemon.on('AuthenticateKey', () => answer.promise);
  const call = client.authenticateKey(USER);
  for (const times of [1, 2, 3]) {
    await daemon.until(() => daemon.of('AuthenticateKey').length === times, `sent ${times} times`);
    if (times < 3) daemon.cut();
  }
  answer.resolve(approved());
  assert.equal((await call).status.status, 'approved');
  assert.equal(daemon.executed.get('AuthenticateKey'), 1);
  const frames = daemon.of('AuthenticateKey');
  assert.deepEqual(frames[1], frames[0]);
  assert.ok(frames[0]?.idempotency_key);
});

test('a payment goes on after a lost socket, without loss and without duplicates', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream('payment-1');
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: stream }));
  const { statuses } = await pay(client);
  daemon.status(stream, 'user_approved');
  await until(() => statuses.length === 1, 'the first status');
  await daemon.stop();
  daemon.status(stream, 'user_success');
  daemon.status(stream, 'paid', { preimage: 'aa' });
  await daemon.listen();
  await until(() => statuses.length >= 3, 'all statuses');
  assert.deepEqual(words(statuses), ['user_approved', 'user_success', 'paid']);
  assert.deepEqual(daemon.of('ResumeStream').map((frame) => frame.params), [{ stream_id: stream, after: 0 }]);
  // Paid is the end: another loss resumes nothing.
  const logins = daemon.of('Auth').length;
  daemon.cut();
  await daemon.until(() => daemon.of('Auth').length > logins, 'logged in again');
  await client.getWalletInfo();
  assert.equal(daemon.of('ResumeStream').length, 1);
  assert.equal(statuses.length, 3);
});

test('a stream of which nothing was seen is resumed from its beginning', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  daemon.on('NewKeyHandshakeUrl', () => ({ type: 'key_handshake_url', url: 'portal://x', stream_id: stream }));
  const keys: string[] = [];
  await client.newKeyHandshakeUrl((key) => keys.push(key));
  await daemon.stop();
  daemon.notify(stream, { type: 'key_handshake', main_key: USER, preferred_relays: [] });
  await daemon.listen();
  await until(() => keys.length > 0, 'the handshake');
  assert.deepEqual(keys, [USER]);
  assert.deepEqual(daemon.of('ResumeStream')[0]?.params, { stream_id: stream });
});

test('a static URL that is older than this client is resumed from where it was joined', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  const handshake = (key: string): Data => ({ type: 'key_handshake', main_key: key, preferred_relays: [] });
  daemon.notify(stream, handshake('last week'));
  daemon.on('NewKeyHandshakeUrl', () => ({ type: 'key_handshake_url', url: 'portal://x', stream_id: stream, last_index: 0 }));
  const keys: string[] = [];
  await client.newKeyHandshakeUrl((key) => keys.push(key), 'table-1');
  await daemon.stop();
  daemon.notify(stream, handshake('now'));
  await daemon.listen();
  await until(() => keys.length > 0, 'the handshake');
  assert.deepEqual(keys, ['now']);
});

test('the answer that names a stream is lost: the payment is not made twice, and no status is missed', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  const gate = deferred<void>();
  daemon.on('RequestSinglePayment', async () => {
    await gate.promise;
    return { type: 'single_payment', stream_id: stream };
  });
  const statuses: InvoiceStatus[] = [];
  const call = client.requestSinglePayment(USER, [], TEA, (status) => statuses.push(status));
  await daemon.until(() => daemon.of('RequestSinglePayment').length === 1, 'asked');
  await daemon.stop();
  daemon.status(stream, 'user_approved');
  gate.resolve();
  await daemon.listen();
  await call;
  daemon.status(stream, 'paid');
  await until(() => statuses.length >= 2, 'both statuses');
  assert.deepEqual(words(statuses), ['user_approved', 'paid']);
  assert.equal(daemon.executed.get('RequestSinglePayment'), 1);
});

test('calls that are made during an outage wait for its end', async (t) => {
  const { daemon, client } = await loggedIn(t);
  let down = false;
  client.on({ onDisconnected: () => (down = true) });
  await daemon.stop();
  await until(() => down, 'the loss is noticed');
  const info = client.getWalletInfo();
  const relay = client.addRelay('wss://a.example');
  await daemon.listen();
  assert.equal((await info).wallet_type, 'nwc');
  assert.equal(await relay, 'wss://a.example');
  assert.equal(daemon.executed.get('AddRelay'), 1);
});

test('a call during an outage that does not end times out', async (t) => {
  const { daemon, client } = await loggedIn(t);
  let down = false;
  client.on({ onDisconnected: () => (down = true) });
  await daemon.stop();
  await until(() => down, 'the loss is noticed');
  await assert.rejects(client.addRelay('wss://a.example', { timeout: 20 }), sdkError('REQUEST_TIMEOUT', { retryable: true }));
});

test('connect and authenticate, called from onDisconnected, join the reconnecting', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const joined = deferred<void>();
  const events: string[] = [];
  client.on({
    onConnected: () => events.push('connected'),
    onDisconnected: () => {
      events.push('disconnected');
      client
        .connect()
        .then(() => client.authenticate(daemon.token))
        .then(joined.resolve, joined.reject);
    },
  });
  daemon.cut();
  await joined.promise;
  await client.getWalletInfo();
  assert.equal(daemon.of('Auth').length, 2);
  assert.deepEqual(events, ['disconnected', 'connected']);
});

test('connect that joins is bounded by connectTimeout; the client goes on trying', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, { connectTimeout: 30 });
  let down = false;
  client.on({ onDisconnected: () => (down = true) });
  await daemon.stop();
  await until(() => down, 'the loss is noticed');
  await assert.rejects(client.connect(), sdkError('CONNECTION_TIMEOUT', { retryable: true }));
  await daemon.listen();
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('disconnect during an outage stops the attempts and rejects what waits', async (t) => {
  const { daemon, client } = await loggedIn(t);
  let down = false;
  client.on({ onDisconnected: () => (down = true) });
  const closed = (await client.streamClosedRecurringPayments()).next();
  await daemon.stop();
  await until(() => down, 'the loss is noticed');
  const results = Promise.allSettled([client.connect(), client.authenticate('other'), client.getWalletInfo(), closed]);
  client.disconnect();
  for (const result of await results) {
    assert.equal(result.status, 'rejected');
    sdkError('CONNECTION_CLOSED')(result.reason);
  }
  const logins = daemon.of('Auth').length;
  await daemon.listen();
  const other = clientOf(t, daemon.url);
  await other.connect();
  await other.authenticate(daemon.token);
  await other.getWalletInfo();
  assert.equal(daemon.of('Auth').length, logins + 1);
});

test('a token that is no longer accepted ends it all with AUTH_FAILED', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  daemon.on('AuthenticateKey', () => new Promise(() => undefined));
  const call = client.authenticateKey(USER);
  const next = (await client.streamClosedRecurringPayments()).next();
  (daemon as { token: string }).token = 'changed';
  daemon.cut();
  await assert.rejects(call, sdkError('AUTH_FAILED', { retryable: false }));
  await assert.rejects(next, sdkError('AUTH_FAILED'));
  assert.deepEqual(errors.map((error) => error.code), ['AUTH_FAILED']);
  await client.connect();
  await client.authenticate('changed');
  assert.equal((await client.getWalletInfo()).wallet_type, 'nwc');
});

test('a daemon that shuts down does not end the calls that it will resume', async (t) => {
  const { daemon, client } = await loggedIn(t);
  let stopping = true;
  daemon.on('FetchProfile', () => {
    if (stopping) throw new Refusal('the daemon is stopping', 'shutting_down', true);
    return { type: 'profile', profile: { name: 'jo' } };
  });
  const profile = client.fetchProfile(USER);
  await daemon.until(() => daemon.of('FetchProfile').length === 1, 'asked');
  await daemon.stop();
  stopping = false;
  await daemon.listen();
  assert.equal((await profile)?.name, 'jo');
});

test('a stream that the daemon has forgotten is reported, and the others go on', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const [gone, kept] = [daemon.openStream(), daemon.openStream()];
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: gone }));
  await pay(client);
  const iterator = await client.streamSinglePayment(USER, [], TEA);
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: kept }));
  const { statuses } = await pay(client);
  await daemon.stop();
  daemon.forgetStream(gone);
  daemon.status(kept, 'paid');
  await daemon.listen();
  await until(() => statuses.length === 1, 'the kept stream');
  await assert.rejects(iterator.next(), sdkError('STREAM_LOST', { daemonCode: 'stream_not_found' }));
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  const lost = errors.filter((error) => error.code === 'STREAM_LOST');
  assert.equal(lost.length, 1);
  assert.deepEqual(lost[0]?.details, { streamId: gone });
});

test('an older daemon: streams are reported lost, dangerous calls rejected, harmless ones repeated', async (t) => {
  const { daemon, client, errors } = await loggedIn(t, { old: true });
  daemon.on('PayInvoice', () => new Promise(() => undefined));
  let answers = 0;
  daemon.on('FetchProfile', () => (answers++ === 0 ? new Promise<Data>(() => undefined) : { type: 'profile', profile: null }));
  const { statuses } = await pay(client);
  const payment = client.payInvoice('lnbc1');
  const profile = client.fetchProfile(USER);
  await daemon.until(() => daemon.of('FetchProfile').length === 1, 'both are sent');
  daemon.cut();
  await assert.rejects(payment, sdkError('CONNECTION_CLOSED', { retryable: false }));
  assert.equal(await profile, null);
  assert.equal(daemon.executed.get('PayInvoice'), 1);
  assert.deepEqual(errors.map((error) => error.code), ['STREAM_LOST']);
  assert.deepEqual(statuses, []);
});

test('an older daemon without open streams: nothing dangerous is sent twice either', async (t) => {
  const { daemon, client, errors } = await loggedIn(t, { old: true });
  daemon.on('PayInvoice', () => new Promise(() => undefined));
  const payment = client.payInvoice('lnbc1');
  await daemon.until(() => daemon.of('PayInvoice').length === 1, 'sent');
  daemon.cut();
  await assert.rejects(payment, sdkError('CONNECTION_CLOSED', { retryable: false }));
  assert.equal(daemon.of('PayInvoice').length, 1);
  assert.deepEqual(errors, []);
});

test('a stream that ended during an outage ends its readers', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const payment = await client.streamSinglePayment(USER, [], TEA);
  const handshakes = await client.streamKeyHandshakes();
  const invoice = await client.streamInvoicePayment(USER, [], { ...TEA, invoice: 'lnbc1' });
  daemon.status(payment.streamId, 'user_approved');
  assert.equal((await payment.next()).value.status, 'user_approved');
  await daemon.stop();
  daemon.close(payment.streamId);
  daemon.fail(handshakes.streamId, 'timeout');
  daemon.close(invoice.streamId);
  daemon.status(invoice.streamId, 'user_success');
  await daemon.listen();
  // Nothing more to come, an error that came meanwhile, and a last event that came meanwhile.
  assert.deepEqual(await payment.next(), { done: true, value: undefined });
  await assert.rejects(handshakes.next(), sdkError('SERVER_ERROR', { daemonCode: 'timeout' }));
  const seen: string[] = [];
  for await (const { status } of invoice) seen.push(status);
  assert.deepEqual(seen, ['user_success']);
  assert.equal((client as unknown as { streams: { size: number } }).streams.size, 0);
  assert.deepEqual(errors.filter(({ code }) => code !== 'CONNECTION_CLOSED'), []);
});

/** Lets a test see, and refuse, every resumption. */
function onResume(daemon: FakeDaemon, look: (streamId: string, go: () => void) => void): void {
  const inside = daemon as unknown as { resume: (socket: unknown, id: string, params: { stream_id: string }) => void };
  const resume = inside.resume.bind(daemon);
  inside.resume = (socket, id, params) => look(params.stream_id, () => resume(socket, id, params));
}

test('many streams are resumed some at a time', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const all = await Promise.all(Array.from({ length: 100 }, () => pay(client)));
  const waiting: (() => void)[] = [];
  let most = 0;
  onResume(daemon, (_streamId, go) => {
    waiting.push(go);
    most = Math.max(most, waiting.length);
  });
  daemon.cut();
  for (let done = 0; done < 100; done += 1) {
    const full = Math.min(32, 100 - done);
    await daemon.until(() => waiting.length >= full, `${full} are asked for`);
    waiting.shift()!();
  }
  assert.equal(most, 32);
  await client.getWalletInfo();
  assert.equal(daemon.of('ResumeStream').length, 100);
  const ids = new Set(daemon.of('ResumeStream').map((frame) => frame.params.stream_id));
  for (const id of ids) daemon.status(id, 'paid');
  await until(() => all.every(({ statuses }) => words(statuses).join() === 'paid'), 'all are paid');
});

test('a daemon that limits commands does not fail the reconnect', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const all = await Promise.all(Array.from({ length: 5 }, () => pay(client)));
  const refused = new Set<string>();
  onResume(daemon, (streamId, go) => {
    if (refused.size < 2 && !refused.has(streamId)) {
      refused.add(streamId);
      throw new Refusal('too many commands in this second', 'rate_limited', true);
    }
    go();
  });
  daemon.cut();
  await client.getWalletInfo();
  assert.equal(daemon.of('Auth').length, 2);
  assert.equal(daemon.of('ResumeStream').length, 7);
  for (const { params } of daemon.of('ResumeStream').slice(0, 5)) daemon.status(params.stream_id, 'paid');
  await until(() => all.every(({ statuses }) => words(statuses).join() === 'paid'), 'all are paid');
  assert.deepEqual(errors, []);
});

test('a daemon that is busy is asked again', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const { statuses } = await pay(client);
  const stream = daemon.openStream('s');
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: stream }));
  const second = await pay(client);
  let refused = 0;
  onResume(daemon, (_streamId, go) => {
    if (refused++ < 2) throw new Refusal('the disk is slow', 'storage_failed', true);
    go();
  });
  daemon.cut();
  await client.getWalletInfo();
  daemon.status(stream, 'paid');
  await until(() => second.statuses.length === 1, 'paid');
  assert.deepEqual(statuses, []);
});

test('many calls and streams over many losses: each exactly once', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const results: string[] = [];
  daemon.on('AuthenticateKey', async ({ main_key }) => {
    await new Promise((resolve) => setImmediate(resolve));
    return { ...approved(), event: { user_key: main_key, recipient: '', challenge: '', status: { status: 'approved' } } };
  });
  const streams = new Map<string, string>();
  daemon.on('RequestSinglePayment', ({ payment_request }) => {
    const id = daemon.openStream();
    streams.set(payment_request.description, id);
    return { type: 'single_payment', stream_id: id };
  });
  const seen = new Map<string, string[]>();
  const calls: Promise<unknown>[] = [];
  for (let round = 0; round < 20; round += 1) {
    for (let i = 0; i < 10; i += 1) {
      const name = `${round}-${i}`;
      calls.push(client.authenticateKey(name).then(({ user_key }) => results.push(user_key)));
      calls.push(
        client.requestSinglePayment(USER, [], { ...TEA, description: name }, ({ status }) => {
          seen.set(name, [...(seen.get(name) ?? []), status]);
        }),
      );
    }
    await daemon.until(() => daemon.sockets.size > 0, 'connected');
    daemon.cut();
    for (const id of streams.values()) if (Math.random() < 0.2) daemon.status(id, 'user_approved');
  }
  await Promise.all(calls);
  for (const id of streams.values()) daemon.status(id, 'paid');
  await until(() => [...seen.values()].filter((list) => list.at(-1) === 'paid').length === 200, 'all are paid');
  assert.equal(new Set(results).size, 200);
  assert.equal(results.length, 200);
  assert.equal(daemon.executed.get('AuthenticateKey'), 200);
  assert.equal(daemon.executed.get('RequestSinglePayment'), 200);
  for (const [name, id] of streams) {
    const events = (daemon as unknown as { streams: Map<string, { events: Data[] }> }).streams.get(id)!.events;
    assert.deepEqual(seen.get(name), events.map((event) => (event['status'] as { status: string }).status), name);
  }
});

test('a daemon that does not even answer pings is left for a new socket', async (t) => {
  const { daemon } = await loggedIn(t, { deaf: true }, { heartbeat: 10 });
  await daemon.until(() => daemon.of('Auth').length >= 3, 'logged in twice more');
});

test('a socket on which a prompt call is not answered is left for a new one', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, { requestTimeout: 50 });
  let silent = true;
  daemon.on('FetchProfile', () => (silent ? new Promise<Data>(() => undefined) : { type: 'profile', profile: null }));
  await assert.rejects(client.fetchProfile(USER), sdkError('REQUEST_TIMEOUT'));
  await daemon.until(() => daemon.of('Auth').length === 2, 'logged in again');
  silent = false;
  assert.equal(await client.fetchProfile(USER), null);
});

/** A socket as browsers have it: it cannot ping. */
class BrowserSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;
  private readonly socket: WebSocket;

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.onopen = (event) => this.onopen?.(event);
    this.socket.onmessage = (event) => this.onmessage?.(event);
    this.socket.onclose = (event) => this.onclose?.(event);
    this.socket.onerror = (event) => this.onerror?.(event);
  }

  send(data: string): void {
    this.socket.send(data);
  }

  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }
}

const browser = { webSocket: BrowserSocket as SocketConstructor, heartbeat: 250 };
const LIFE = 'CalculateNextOccurrence';

test('in a browser a daemon that is silent while a stream is open is asked, and left when it does not answer', async (t) => {
  const { daemon, client } = await loggedIn(t, {}, browser);
  const { statuses } = await pay(client);
  await daemon.until(() => daemon.of(LIFE).length >= 3, 'asked three times');
  assert.deepEqual(daemon.of(LIFE)[0]?.params, { calendar: 'daily', from: '0' });
  assert.equal(daemon.of('Auth').length, 1, 'a daemon that answers is kept');
  let silent = true;
  daemon.on(LIFE, () => (silent ? new Promise<Data>(() => undefined) : { type: 'calculate_next_occurrence', next_occurrence: '0' }));
  await daemon.until(() => daemon.of('ResumeStream').length > 0, 'attached again');
  silent = false;
  const [resumed] = daemon.of('ResumeStream');
  daemon.status(resumed?.params.stream_id, 'paid');
  await until(() => statuses.length === 1, 'paid');
});

test('in a browser a waiting call is reason enough to ask, idleness and heartbeat 0 are not', async (t) => {
  const idle = await loggedIn(t, {}, browser);
  const off = await loggedIn(t, {}, { ...browser, heartbeat: 0 });
  await pay(off.client);
  const waiting = await loggedIn(t, {}, browser);
  const answer = deferred<Data>();
  waiting.daemon.on('AuthenticateKey', () => answer.promise);
  const call = waiting.client.authenticateKey(USER);
  await waiting.daemon.until(() => waiting.daemon.of(LIFE).length >= 3, 'asked three times');
  answer.resolve(approved());
  assert.equal((await call).status.status, 'approved');
  assert.equal(idle.daemon.of(LIFE).length + off.daemon.of(LIFE).length, 0);
});
