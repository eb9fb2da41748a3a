/** Reading streams: callbacks, `for await`, order, ends, and listeners. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Currency, type InvoiceStatus, type NotificationData } from 'portal-sdk';
import { USER, until, type Data } from './fake-daemon.js';
import { loggedIn, sdkError } from './support.js';

const TEA = { amount: 5000, currency: Currency.Millisats, description: 'tea' };

/** The number of streams that a client still knows. */
function openStreams(client: unknown): number {
  return (client as { streams: { size: number } }).streams.size;
}

const statusFrame = (id: string, status: string, index?: number): string =>
  JSON.stringify({ type: 'notification', id, index, data: { type: 'payment_status_update', status: { status } } });

test('a notification that overtakes the answer is not lost', async (t) => {
  const { daemon, client } = await loggedIn(t, { old: true });
  daemon.on('RequestSinglePayment', () => {
    daemon.broadcast(statusFrame('early', 'user_approved'));
    daemon.broadcast(statusFrame('early', 'paid'));
    return { type: 'single_payment', stream_id: 'early' };
  });
  const statuses: string[] = [];
  await client.requestSinglePayment(USER, [], TEA, ({ status }) => statuses.push(status));
  await until(() => statuses.length === 2, 'both statuses');
  assert.deepEqual(statuses, ['user_approved', 'paid']);
});

test('what overtakes is kept within bounds, and dropped when no answer names it', async (t) => {
  const { daemon, client } = await loggedIn(t, { old: true });
  daemon.on('RequestSinglePayment', () => {
    for (let i = 0; i < 1000; i += 1) daemon.broadcast(statusFrame(`other-${i}`, 'paid'));
    return { type: 'single_payment', stream_id: daemon.openStream('mine') };
  });
  await client.requestSinglePayment(USER, [], TEA, () => undefined);
  assert.equal((client as unknown as { streams: { early: unknown[] } }).streams.early.length, 0);
  assert.equal(openStreams(client), 1);
});

test('an index that was seen is not delivered again', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: 's' }));
  const statuses: string[] = [];
  const all: unknown[] = [];
  client.on('all', (data) => all.push(data));
  await client.requestSinglePayment(USER, [], TEA, ({ status }) => statuses.push(status));
  for (const [index, status] of [[4, 'user_approved'], [4, 'user_approved'], [3, 'user_approved'], [5, 'paid']] as const) {
    daemon.broadcast(statusFrame('s', status, index));
  }
  await until(() => statuses.includes('paid'), 'paid');
  assert.deepEqual(statuses, ['user_approved', 'paid']);
  assert.equal(all.length, 2);
});

test('paid ends a payment, and a late paid follows a timeout', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const statuses: InvoiceStatus[] = [];
  await client.requestSinglePayment(USER, [], TEA, (status) => statuses.push(status));
  const [stream] = [...(daemon as unknown as { streams: Map<string, unknown> }).streams.keys()];
  daemon.status(stream!, 'timeout');
  await until(() => statuses.length === 1, 'timeout');
  assert.equal(openStreams(client), 1);
  daemon.status(stream!, 'paid', { late: true });
  daemon.status(stream!, 'user_success');
  await until(() => statuses.length === 2, 'late paid');
  await client.getWalletInfo();
  assert.deepEqual(statuses, [{ status: 'timeout' }, { status: 'paid', late: true }]);
  assert.equal(openStreams(client), 0);
});

test('a refund resolves when the money has gone back, and rejects with the code when it has not', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const told = (id: string, data: object) => JSON.stringify({ type: 'notification', id, index: 0, data });
  const asked: unknown[] = [];
  daemon.on('RefundPayment', (params) => {
    asked.push(params);
    return { type: 'refund_payment', stream_id: daemon.openStream(`refund-${asked.length}`) };
  });
  const refunded = { payment: 'p', amount_msat: 700, fees_paid_msat: 1, preimage: 'ab' };
  const paid = client.refundPayment('p', { amount_msat: 700 });
  await until(() => openStreams(client) === 1, 'the first');
  daemon.broadcast(told('refund-1', { type: 'refunded', ...refunded }));
  assert.deepEqual(await paid, refunded);
  const failed = client.refundPayment('p');
  await until(() => openStreams(client) === 1, 'the second');
  daemon.broadcast(told('refund-2', { type: 'error', code: 'insufficient_funds', reason: 'empty' }));
  await assert.rejects(failed, sdkError('SERVER_ERROR', { daemonCode: 'insufficient_funds' }));
  assert.deepEqual(asked, [{ amount_msat: 700, stream_id: 'p' }, { stream_id: 'p' }]);
});

test('payments that ended without money are remembered within bounds', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('RequestSinglePayment', (_params, d) => {
    const stream_id = d.openStream();
    setImmediate(() => d.status(stream_id, 'user_rejected'));
    return { type: 'single_payment', stream_id };
  });
  let rejected = 0;
  for (let i = 0; i < 400; i += 1) await client.requestSinglePayment(USER, [], TEA, () => (rejected += 1));
  await until(() => rejected === 400, 'all are rejected');
  assert.equal(openStreams(client), 256);
});

test('a one-time handshake ends its stream, a static one does not', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const once = daemon.openStream('once');
  const often = daemon.openStream('often');
  const keys: string[] = [];
  const seen: string[] = [];
  client.on({ onKeyHandshake: (key) => seen.push(key) });
  daemon.on('NewKeyHandshakeUrl', ({ static_token }) => ({ type: 'key_handshake_url', url: 'u', stream_id: static_token ? often : once }));
  await client.newKeyHandshakeUrl((key) => keys.push(`once ${key}`));
  await client.newKeyHandshakeUrl((key, relays) => keys.push(`often ${key} ${relays.join()}`), 'table-1');
  for (const key of ['a', 'b']) {
    for (const stream of [once, often]) daemon.notify(stream, { type: 'key_handshake', main_key: key, preferred_relays: ['r'] });
  }
  await until(() => keys.length === 3, 'three handshakes');
  assert.deepEqual(keys, ['once a', 'often a r', 'often b r']);
  assert.deepEqual(seen, ['a', 'a', 'b']);
  assert.equal(openStreams(client), 1);
});

test('for await over a payment ends when it is decided', async (t) => {
  for (const end of ['paid', 'timeout', 'error', 'user_failed', 'user_rejected']) {
    const { daemon, client } = await loggedIn(t);
    const payment = await client.streamSinglePayment(USER, [], TEA);
    daemon.status(payment.streamId, 'user_approved');
    daemon.status(payment.streamId, 'user_success');
    daemon.status(payment.streamId, end);
    const seen: string[] = [];
    for await (const { status } of payment) seen.push(status);
    assert.deepEqual(seen, ['user_approved', 'user_success', end]);
    assert.equal(openStreams(client), 0);
  }
});

test('for await over a payment of a foreign invoice ends with the wallet’s word', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const payment = await client.streamInvoicePayment(USER, [], { ...TEA, invoice: 'lnbc1' });
  daemon.status(payment.streamId, 'user_approved');
  daemon.close(payment.streamId);
  daemon.status(payment.streamId, 'user_success');
  const seen: string[] = [];
  for await (const { status } of payment) seen.push(status);
  assert.deepEqual(seen, ['user_approved', 'user_success']);
  assert.deepEqual(daemon.of('ResumeStream').map((frame) => frame.params), [{ stream_id: payment.streamId, after: 1 }]);
  assert.equal(openStreams(client), 0);
  assert.deepEqual(errors, []);
});

test('for await over a payment of an own invoice goes on after user_success', async (t) => {
  for (const end of ['paid', 'timeout']) {
    const { daemon, client } = await loggedIn(t);
    const payment = await client.streamInvoicePayment(USER, [], { ...TEA, invoice: 'lnbc1' });
    daemon.status(payment.streamId, 'user_success');
    const seen: string[] = [];
    const loop = (async () => {
      for await (const { status } of payment) seen.push(status);
    })();
    await daemon.until(() => daemon.of('ResumeStream').length === 1, 'asked whether it goes on');
    await client.getWalletInfo();
    assert.deepEqual(seen, ['user_success']);
    daemon.status(payment.streamId, end);
    await loop;
    assert.deepEqual(seen, ['user_success', end]);
    assert.equal(daemon.of('ResumeStream').length, 1);
    assert.equal(openStreams(client), 0);
  }
});

test('a callback hears paid after user_success of an own invoice, and a foreign one is forgotten', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const [own, foreign] = [daemon.openStream(), daemon.openStream()];
  daemon.on('RequestPaymentRaw', ({ payment_request }) => ({ type: 'single_payment', stream_id: payment_request.invoice === 'own' ? own : foreign }));
  const statuses: string[] = [];
  for (const invoice of ['own', 'foreign']) {
    await client.requestInvoicePayment(USER, [], { ...TEA, invoice }, ({ status }) => statuses.push(`${invoice} ${status}`));
  }
  daemon.close(foreign);
  daemon.status(foreign, 'user_success');
  daemon.status(own, 'user_success');
  await until(() => openStreams(client) === 1, 'the foreign one is forgotten');
  daemon.status(own, 'paid');
  await until(() => openStreams(client) === 0, 'paid');
  assert.deepEqual(statuses, ['foreign user_success', 'own user_success', 'own paid']);
});

test('with an older daemon user_success ends the loop over an invoice payment', async (t) => {
  const { daemon, client } = await loggedIn(t, { old: true });
  const payment = await client.streamInvoicePayment(USER, [], { ...TEA, invoice: 'lnbc1' });
  daemon.status(payment.streamId, 'user_success');
  const seen: string[] = [];
  for await (const { status } of payment) seen.push(status);
  assert.deepEqual(seen, ['user_success']);
  assert.equal(daemon.of('ResumeStream').length, 0);
});

test('a one-time URL that expires ends its loop with the daemon’s error', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const handshakes = await client.streamKeyHandshakes();
  const next = handshakes.next();
  daemon.fail(handshakes.streamId, 'timeout', 'nobody opened the URL');
  await assert.rejects(next, sdkError('SERVER_ERROR', { daemonCode: 'timeout', message: 'nobody opened the URL' }));
  assert.deepEqual(await handshakes.next(), { done: true, value: undefined });
  assert.equal(openStreams(client), 0);
});

test('an error that ends a stream comes after what was read before it, and to callbacks by onError', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const payment = await client.streamSinglePayment(USER, [], TEA);
  daemon.status(payment.streamId, 'user_approved');
  daemon.fail(payment.streamId, 'storage_failed', 'the disk is full');
  await until(() => openStreams(client) === 0, 'the end');
  assert.equal((await payment.next()).value.status, 'user_approved');
  await assert.rejects(payment.next(), sdkError('SERVER_ERROR', { daemonCode: 'storage_failed' }));
  assert.equal(errors.length, 0);

  const once = daemon.openStream();
  daemon.on('NewKeyHandshakeUrl', () => ({ type: 'key_handshake_url', url: 'u', stream_id: once }));
  await client.newKeyHandshakeUrl(() => assert.fail('nobody opened it'));
  daemon.fail(once, 'timeout');
  await until(() => errors.length === 1, 'the error');
  sdkError('SERVER_ERROR', { daemonCode: 'timeout' })(errors.at(0));
  assert.deepEqual((errors.at(0)?.details as { streamId: string }).streamId, once);
  assert.equal(openStreams(client), 0);
});

test('a settled payment that ends with an error is just forgotten', async (t) => {
  const { daemon, client, errors } = await loggedIn(t);
  const stream = daemon.openStream();
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: stream }));
  const statuses: string[] = [];
  await client.requestSinglePayment(USER, [], TEA, ({ status }) => statuses.push(status));
  daemon.status(stream, 'timeout');
  daemon.fail(stream, 'wallet_unavailable');
  await until(() => openStreams(client) === 0, 'forgotten');
  assert.deepEqual([statuses, errors], [['timeout'], []]);
});

test('a revoked static token ends the loop over its URL, not that of another', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const [revoked, kept] = [await client.streamKeyHandshakes('table-1'), await client.streamKeyHandshakes('table-2')];
  const next = revoked.next();
  await client.revokeStaticToken('table-1');
  assert.deepEqual(await next, { done: true, value: undefined });
  await client.revokeStaticToken('table-1');
  daemon.notify(kept.streamId, { type: 'key_handshake', main_key: USER, preferred_relays: [] });
  assert.equal((await kept.next()).value.mainKey, USER);
  assert.equal(openStreams(client), 1);
});

test('streamEvents ends with whatever ends the stream', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const ends: Data[] = [
    { type: 'authenticate_key', user_key: USER, recipient: USER, challenge: 'c', status: { status: 'approved' } },
    { type: 'recurring_payment_response', status: { request_id: 'r', status: { status: 'rejected' } } },
    { type: 'invoice_response', invoice: 'lnbc1', payment_hash: null },
    { type: 'cashu_response', status: { status: 'insufficient_funds' } },
    { type: 'delivery', delivered: [], refused: [['wss://a.example', 'no']], queued: false },
    { type: 'error', code: 'timeout', reason: 'late' },
    { type: 'payment_status_update', status: { status: 'paid' } },
  ];
  for (const end of ends) {
    const stream = daemon.openStream();
    daemon.notify(stream, { type: 'delivery', delivered: [], refused: [], queued: true });
    const types: string[] = [];
    const loop = (async () => {
      for await (const { data } of client.streamEvents(stream)) types.push(data.type);
    })();
    await until(() => types.length === 1, 'the first event');
    daemon.notify(stream, end);
    await loop;
    assert.deepEqual(types, ['delivery', end.type]);
  }
  assert.equal(openStreams(client), 0);
});

test('streamEvents of a stream that is read already misses nothing of its past', async (t) => {
  for (const end of [{ type: 'payment_status_update', status: { status: 'paid' } }, { type: 'error', code: 'timeout', reason: 'late' }]) {
    const { daemon, client } = await loggedIn(t);
    const payment = await client.streamSinglePayment(USER, [], TEA);
    daemon.status(payment.streamId, 'user_approved');
    daemon.status(payment.streamId, 'user_success');
    assert.equal((await payment.next()).value.status, 'user_approved');
    const events = client.streamEvents(payment.streamId);
    // The event is on its way before the daemon hears of the second reader.
    daemon.notify(payment.streamId, end);
    const seen: unknown[] = [];
    for await (const { index, data } of events) seen.push([index, data.type]);
    assert.deepEqual(seen, [[0, 'payment_status_update'], [1, 'payment_status_update'], [2, end.type]]);
    assert.equal((await payment.next()).value.status, 'user_success');
    if (end.type === 'error') await assert.rejects(payment.next(), sdkError('SERVER_ERROR', { daemonCode: 'timeout' }));
    else assert.equal((await payment.next()).value.status, 'paid');
    assert.equal(openStreams(client), 0);
  }
});

test('streamEvents of a stream that is over ends behind its last event', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  for (const status of ['user_approved', 'timeout']) daemon.status(stream, status);
  daemon.close(stream);
  const read = async (after?: number): Promise<(number | undefined)[]> => {
    const seen: (number | undefined)[] = [];
    for await (const { index } of client.streamEvents(stream, after)) seen.push(index);
    return seen;
  };
  assert.deepEqual(await read(), [0, 1]);
  assert.deepEqual(await read(0), [1]);
  assert.deepEqual(await read(1), []);
  assert.deepEqual(await read(9), []);
  const empty = daemon.openStream();
  daemon.close(empty);
  assert.deepEqual(await client.streamEvents(empty).next(), { done: true, value: undefined });
  assert.equal(openStreams(client), 0);
});

test('for await over handshakes and closed subscriptions, left by break', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const handshakes = await client.streamKeyHandshakes('table-1');
  assert.match(handshakes.url, /^portal:/);
  for (const key of ['a', 'b', 'c']) daemon.notify(handshakes.streamId, { type: 'key_handshake', main_key: key, preferred_relays: [] });
  const keys: string[] = [];
  for await (const { mainKey } of handshakes) {
    keys.push(mainKey);
    if (mainKey === 'b') break;
  }
  assert.deepEqual(keys, ['a', 'b']);
  const closed = await client.streamClosedRecurringPayments();
  daemon.notify(closed.streamId, { type: 'closed_recurring_payment', reason: 'no', subscription_id: 's', main_key: USER, recipient: USER });
  assert.deepEqual((await closed.next()).value, { reason: 'no', subscription_id: 's', main_key: USER, recipient: USER });
  const waiting = closed.next();
  closed.close();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.equal(openStreams(client), 0);
});

test('a loop goes on over a lost socket', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const payment = await client.streamSinglePayment(USER, [], TEA);
  daemon.status(payment.streamId, 'user_approved');
  const seen: string[] = [];
  for await (const { status } of payment) {
    seen.push(status);
    if (status !== 'user_approved') continue;
    daemon.cut();
    daemon.status(payment.streamId, 'paid');
  }
  assert.deepEqual(seen, ['user_approved', 'paid']);
});

test('streamEvents reads a stream again, from the beginning or from an index', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  for (const status of ['user_approved', 'timeout', 'paid']) daemon.status(stream, status);
  const read = async (after?: number): Promise<unknown[]> => {
    const seen: unknown[] = [];
    for await (const { index, data } of client.streamEvents(stream, after)) {
      seen.push([index, data.type === 'payment_status_update' && data.status.status]);
    }
    return seen;
  };
  assert.deepEqual(await read(), [[0, 'user_approved'], [1, 'timeout'], [2, 'paid']]);
  assert.deepEqual(await read(1), [[2, 'paid']]);
  await assert.rejects(client.streamEvents('unknown').next(), sdkError('STREAM_LOST', { daemonCode: 'stream_not_found' }));
  assert.equal(openStreams(client), 0);
});

test('listenClosedRecurringPayment stops when told to', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  daemon.on('ListenClosedRecurringPayment', () => ({ type: 'listen_closed_recurring_payment', stream_id: stream }));
  const closed: string[] = [];
  const stop = await client.listenClosedRecurringPayment(({ subscription_id }) => closed.push(subscription_id));
  const event = (id: string) => ({ type: 'closed_recurring_payment', reason: null, subscription_id: id, main_key: USER, recipient: USER });
  daemon.notify(stream, event('one'));
  await until(() => closed.length === 1, 'the first');
  stop();
  stop();
  daemon.notify(stream, event('two'));
  await client.getWalletInfo();
  assert.deepEqual(closed, ['one']);
});

test('payments to a Lightning address come with their place, after the one that is known', async (t) => {
  const { daemon, client } = await loggedIn(t);
  const stream = daemon.openStream();
  const event = (amount: number) => ({
    type: 'lightning_address_payment' as const,
    name: 'shop',
    amount_msat: amount,
    invoice: 'lnbcrt1',
    payment_hash: '11',
    preimage: '22',
  });
  for (const amount of [1000, 2000]) daemon.notify(stream, event(amount));
  daemon.on('ListenLightningAddress', ({ after }) => ({
    type: 'listen_lightning_address',
    stream_id: stream,
    last_index: typeof after === 'number' ? after : 1,
  }));
  const heard: unknown[] = [];
  const stop = await client.listenLightningAddress((payment) => heard.push(payment));
  daemon.notify(stream, event(3000));
  await until(() => heard.length === 1, 'the first since');
  assert.deepEqual(heard, [{ index: 2, name: 'shop', amount_msat: 3000, invoice: 'lnbcrt1', payment_hash: '11', preimage: '22' }]);
  // A socket that is lost loses none.
  daemon.cut();
  daemon.notify(stream, event(4000));
  await until(() => heard.length === 2, 'the one in between');
  stop();
  daemon.notify(stream, event(5000));
  await client.getWalletInfo();
  assert.equal(heard.length, 2);
  const loop = await client.streamLightningAddressPayments({ after: 3 });
  daemon.notify(stream, event(6000));
  const { value } = await loop.next();
  assert.ok(value && value.amount_msat >= 5000);
  loop.close();
  assert.equal(openStreams(client), 0);
});

test('listeners by type and for all, until off', async (t) => {
  const { client } = await loggedIn(t, { autopilot: true });
  const byType: NotificationData[] = [];
  const all: string[] = [];
  const listener = (data: NotificationData): number => byType.push(data);
  client.on('payment_status_update', listener);
  client.on('all', (data) => all.push(data.type));
  let paid = 0;
  const onStatus = ({ status }: InvoiceStatus): void => {
    if (status === 'paid') paid += 1;
  };
  await client.requestSinglePayment(USER, [], TEA, onStatus);
  await until(() => paid === 1, 'paid');
  client.off('payment_status_update', listener);
  await client.requestSinglePayment(USER, [], TEA, onStatus);
  await until(() => paid === 2, 'paid again');
  assert.equal(byType.length, 3);
  assert.equal(all.length, 6);
});

test('a callback that throws is reported and stops nothing', async (t) => {
  const { client, errors } = await loggedIn(t, { autopilot: true });
  let calls = 0;
  await client.requestSinglePayment(USER, [], TEA, () => {
    calls += 1;
    throw new Error('mine');
  });
  await client.newKeyHandshakeUrl(async () => {
    throw new Error('mine, later');
  });
  await until(() => errors.length === 4, 'all errors');
  assert.equal(calls, 3);
  assert.deepEqual(new Set(errors.map(({ code }) => code)), new Set(['CALLBACK_FAILED']));
});

test('onStatusChange may be left out', async (t) => {
  const { client } = await loggedIn(t, { autopilot: true });
  await client.requestSinglePayment(USER, [], TEA);
  await client.newKeyHandshakeUrl();
});
