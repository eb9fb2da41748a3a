import { PortalSDK, PortalSDKError } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
await portal.connect();
await portal.authenticate('token');

const order = { idempotencyKey: 'order-17' };
const instruction = await portal.readPaymentInstruction('jo@example.com');
if (instruction.kind === 'lnurl_pay') {
  try {
    const { preimage } = await portal.payInstruction('jo@example.com', { amount_msat: instruction.min_msat, comment: 'Thanks' }, order);
    console.log(preimage, instruction.description);
  } catch (error) {
    if (error instanceof PortalSDKError && error.daemonCode === 'payment_pending') console.log('again, with', error.idempotencyKey);
    else throw error;
  }
}
await portal.payInvoice('lnbc1', { max_fee_msat: 10_000 });
const withdrawal = await portal.withdrawLnurl('lnurl1');
const payment = await portal.lookupPayment(withdrawal.payment_hash);
console.log(payment?.state, payment?.settled_at?.toDate().toISOString());
const refunded = await portal.refundPayment('stream-1', { amount_msat: 700, description: 'Cold tea' });
console.log(refunded.amount_msat);
for await (const { preimage } of await portal.streamRefund('stream-2')) console.log(preimage);
console.log('done');
