/** Every method's frame, against the frames of the 0.3 clients. What ours add is `idempotency_key` and nothing else. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Currency, Timestamp, type PortalSDK } from 'portal-sdk';
import { USER } from './fake-daemon.js';
import { loggedIn } from './support.js';

interface Golden {
  call(client: PortalSDK): Promise<unknown>;
  cmd: string;
  params?: unknown;
  /** Commands that change nothing and wait for nobody carry no key. */
  read?: boolean;
  result?: unknown;
}

const mint = 'https://mint.example.com';
const due = new Timestamp(1767225600);

const GOLDEN: Record<string, Golden> = {
  newKeyHandshakeUrl: {
    call: (c) => c.newKeyHandshakeUrl(() => undefined),
    cmd: 'NewKeyHandshakeUrl',
    params: { static_token: null, no_request: false },
  },
  'newKeyHandshakeUrl with a static token': {
    call: (c) => c.newKeyHandshakeUrl(() => undefined, 'table-1', true),
    cmd: 'NewKeyHandshakeUrl',
    params: { static_token: 'table-1', no_request: true },
  },
  authenticateKey: {
    call: (c) => c.authenticateKey(USER),
    cmd: 'AuthenticateKey',
    params: { main_key: USER, subkeys: [] },
    result: {
      user_key: USER,
      recipient: USER,
      challenge: 'challenge',
      status: { status: 'approved', granted_permissions: [], session_token: 'session' },
    },
  },
  requestRecurringPayment: {
    call: (c) =>
      c.requestRecurringPayment(USER, [], {
        amount: 10_000,
        currency: Currency.Millisats,
        recurrence: { calendar: 'monthly', first_payment_due: due, max_payments: 12, until: new Timestamp(1798761600n) },
        expires_at: due,
      }),
    cmd: 'RequestRecurringPayment',
    params: {
      main_key: USER,
      subkeys: [],
      payment_request: {
        amount: 10_000,
        currency: 'Millisats',
        recurrence: { calendar: 'monthly', first_payment_due: '1767225600', max_payments: 12, until: '1798761600' },
        expires_at: '1767225600',
      },
    },
  },
  requestSinglePayment: {
    call: (c) => c.requestSinglePayment(USER, ['aa'], { amount: 5000, currency: Currency.Millisats, description: 'tea' }, () => undefined),
    cmd: 'RequestSinglePayment',
    params: { main_key: USER, subkeys: ['aa'], payment_request: { amount: 5000, currency: 'Millisats', description: 'tea' } },
    result: undefined,
  },
  requestInvoicePayment: {
    call: (c) =>
      c.requestInvoicePayment(USER, [], { amount: 5, currency: 'EUR', description: 'x', invoice: 'lnbc1', expires_at: due, request_id: 'r1' }, () => undefined),
    cmd: 'RequestPaymentRaw',
    params: {
      main_key: USER,
      subkeys: [],
      payment_request: { amount: 5, currency: 'EUR', description: 'x', invoice: 'lnbc1', expires_at: '1767225600', request_id: 'r1' },
    },
  },
  fetchProfile: {
    call: (c) => c.fetchProfile(USER),
    cmd: 'FetchProfile',
    params: { main_key: USER },
    read: true,
    result: { id: USER, pubkey: USER, name: 'jo', display_name: 'Jo', picture: null, nip05: null },
  },
  setProfile: {
    call: (c) => c.setProfile({ id: 'i', pubkey: USER, name: 'n', about: 'a' }),
    cmd: 'SetProfile',
    params: { profile: { id: 'i', pubkey: USER, name: 'n', about: 'a' } },
    result: undefined,
  },
  closeRecurringPayment: {
    call: (c) => c.closeRecurringPayment(USER, [], 'sub-1'),
    cmd: 'CloseRecurringPayment',
    params: { main_key: USER, subkeys: [], subscription_id: 'sub-1' },
    result: 'Recurring payment closed',
  },
  listenClosedRecurringPayment: {
    call: (c) => c.listenClosedRecurringPayment(() => undefined),
    cmd: 'ListenClosedRecurringPayment',
  },
  listenLightningAddress: {
    call: (c) => c.listenLightningAddress(() => undefined, { after: 4 }),
    cmd: 'ListenLightningAddress',
    params: { after: 4 },
  },
  requestInvoice: {
    call: (c) => c.requestInvoice(USER, [], { amount: 1, currency: Currency.Millisats, expires_at: due, description: 'd' }),
    cmd: 'RequestInvoice',
    params: { recipient_key: USER, subkeys: [], content: { amount: 1, currency: 'Millisats', expires_at: '1767225600', description: 'd' } },
    result: { invoice: 'lnbcrt1', payment_hash: null },
  },
  issueJwt: { call: (c) => c.issueJwt(USER, 24), cmd: 'IssueJwt', params: { target_key: USER, duration_hours: 24 }, read: true, result: 'jwt' },
  verifyJwt: {
    call: (c) => c.verifyJwt(USER, 'jwt'),
    cmd: 'VerifyJwt',
    params: { pubkey: USER, token: 'jwt' },
    read: true,
    result: { target_key: USER },
  },
  requestCashu: {
    call: (c) => c.requestCashu(USER, [], mint, 'sat', 10),
    cmd: 'RequestCashu',
    params: { recipient_key: USER, subkeys: [], mint_url: mint, unit: 'sat', amount: 10 },
    result: { status: 'success', token: 'cashuA' },
  },
  sendCashuDirect: {
    call: (c) => c.sendCashuDirect(USER, [], 'cashuA'),
    cmd: 'SendCashuDirect',
    params: { main_key: USER, subkeys: [], token: 'cashuA' },
    result: 'Cashu direct sent',
  },
  mintCashu: {
    call: (c) => c.mintCashu(mint, undefined, 'sat', 10, 'ticket'),
    cmd: 'MintCashu',
    params: { mint_url: mint, unit: 'sat', amount: 10, description: 'ticket' },
    result: 'cashuA',
  },
  burnCashu: {
    call: (c) => c.burnCashu(mint, 'sat', 'cashuA', 'static'),
    cmd: 'BurnCashu',
    params: { mint_url: mint, unit: 'sat', token: 'cashuA', static_auth_token: 'static' },
    result: 10,
  },
  addRelay: { call: (c) => c.addRelay('wss://a.example'), cmd: 'AddRelay', params: { relay: 'wss://a.example' }, result: 'wss://a.example' },
  removeRelay: { call: (c) => c.removeRelay('wss://a.example'), cmd: 'RemoveRelay', params: { relay: 'wss://a.example' }, result: 'wss://a.example' },
  calculateNextOccurrence: {
    call: async (c) => (await c.calculateNextOccurrence('monthly', due))?.toString(),
    cmd: 'CalculateNextOccurrence',
    params: { calendar: 'monthly', from: '1767225600' },
    read: true,
    result: '1767225600',
  },
  fetchNip05Profile: {
    call: (c) => c.fetchNip05Profile('jo@example.com'),
    cmd: 'FetchNip05Profile',
    params: { nip05: 'jo@example.com' },
    read: true,
    result: { public_key: USER, relays: [], nip46: [] },
  },
  getWalletInfo: { call: (c) => c.getWalletInfo(), cmd: 'GetWalletInfo', read: true, result: { wallet_type: 'nwc', balance_msat: 21_000 } },
  payInvoice: { call: (c) => c.payInvoice('lnbc1'), cmd: 'PayInvoice', params: { invoice: 'lnbc1' }, result: { preimage: '00'.repeat(32), fees_paid_msat: 7 } },
  revokeStaticToken: { call: (c) => c.revokeStaticToken('table-1'), cmd: 'RevokeStaticToken', params: { static_token: 'table-1' } },
};

for (const [name, golden] of Object.entries(GOLDEN)) {
  test(`${name} sends the frame of the 0.3 client`, async (t) => {
    const { daemon, client } = await loggedIn(t);
    const result = await golden.call(client);
    const [auth, frame] = daemon.frames;
    assert.deepEqual(auth, { id: auth?.id, cmd: 'Auth', params: { token: daemon.token } });
    const { id, idempotency_key: key, ...rest } = frame!;
    assert.match(id, /^[a-z0-9]+$/);
    // `params` is absent, not empty, when there are none.
    assert.deepEqual(rest, golden.params === undefined ? { cmd: golden.cmd } : { cmd: golden.cmd, params: golden.params });
    assert.equal(typeof key, golden.read ? 'undefined' : 'string');
    if ('result' in golden) assert.deepEqual(result, golden.result);
  });
}

test('the answer to a recurring payment has what was confirmed at its top level too', async (t) => {
  const { client } = await loggedIn(t);
  const answer = await client.requestRecurringPayment(USER, [], {
    amount: 10,
    currency: Currency.Millisats,
    recurrence: { calendar: 'weekly', first_payment_due: due },
    expires_at: due,
  });
  assert.equal(answer.request_id, 'request-1');
  assert.equal(answer.status.status, 'confirmed');
  assert.equal(answer.subscription_id, 'sub-1');
  assert.equal(answer.authorized_amount, 10);
  assert.equal(answer.authorized_currency, 'Millisats');
  assert.equal(answer.authorized_recurrence?.calendar, 'weekly');
});

test('a rejected recurring payment resolves, and has no subscription', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('RequestRecurringPayment', () => ({
    type: 'recurring_payment',
    status: { request_id: 'r', status: { status: 'rejected', reason: 'no' } },
  }));
  const answer = await client.requestRecurringPayment(USER, [], {
    amount: 10,
    currency: Currency.Millisats,
    recurrence: { calendar: 'weekly', first_payment_due: due },
    expires_at: due,
  });
  assert.deepEqual(answer, { request_id: 'r', status: { status: 'rejected', reason: 'no' } });
});

test('an invoice payment without an id gets a random one', async (t) => {
  const { daemon, client } = await loggedIn(t);
  await client.requestInvoicePayment(USER, [], { amount: 5, currency: Currency.Millisats, description: 'x' });
  assert.match(daemon.of('RequestPaymentRaw')[0]?.params.payment_request.request_id, /^[0-9a-f-]{36}$/);
});

test('no profile is null', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('FetchProfile', () => ({ type: 'profile', profile: null }));
  assert.equal(await client.fetchProfile(USER), null);
});

test('sendCommand sends anything and resolves to the raw data', async (t) => {
  const { daemon, client } = await loggedIn(t);
  daemon.on('Anything', ({ big }) => ({ type: 'anything', big }));
  assert.deepEqual(await client.sendCommand('Anything', { big: 10n }), { type: 'anything', big: '10' });
});

test('Timestamp: seconds, strings on the wire', () => {
  assert.equal(JSON.stringify(new Timestamp(1700000300n)), '"1700000300"');
  assert.equal(String(Timestamp.fromDate(new Date(1_700_000_300_999))), '1700000300');
  assert.equal(new Timestamp(1700000300).valueOf(), 1700000300n);
  assert.equal(new Timestamp(1700000300).toDate().toISOString(), '2023-11-14T22:18:20.000Z');
  assert.ok(Timestamp.fromNow(60) > Timestamp.fromNow(0));
});
