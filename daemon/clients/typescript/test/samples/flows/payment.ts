import { Currency, PortalSDK, Timestamp } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
await portal.connect();
await portal.authenticate('token');
const user = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';

await new Promise<void>((resolve) => {
  portal.requestSinglePayment(user, [], { amount: 5000, currency: Currency.Millisats, description: 'Tea' }, (status) => {
    if (status.status === 'paid') resolve();
    else console.log(status.status, status.reason, status.preimage);
  });
});
await portal.requestSinglePayment(user, [], { amount: 250, currency: 'EUR', description: 'Cake', subscription_id: 'sub-1' });
await portal.requestInvoicePayment(
  user,
  [],
  { amount: 5000, currency: Currency.Millisats, description: 'Theirs', invoice: 'lnbc1', expires_at: Timestamp.fromNow(600) },
  (status) => console.log(status.status),
);
for await (const { status } of await portal.streamSinglePayment(user, [], { amount: 1, currency: Currency.Millisats, description: 'Crumb' })) {
  console.log(status);
}
const invoice = await portal.requestInvoice(user, [], { amount: 1000, currency: Currency.Millisats, expires_at: Timestamp.fromNow(60) });
const { preimage, fees_paid_msat } = await portal.payInvoice(invoice.invoice);
const { wallet_type, balance_msat } = await portal.getWalletInfo();
console.log(preimage, fees_paid_msat, wallet_type, balance_msat);
console.log('done');
