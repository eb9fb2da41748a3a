import { Currency, PortalSDK, Timestamp } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
await portal.connect();
await portal.authenticate('token');
const user = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';

const { stream_id, next_due } = await portal.scheduleSubscription(
  user,
  [],
  { subscription_id: 'sub-1', amount: 999, currency: 'EUR', recurrence: { calendar: 'monthly', first_payment_due: Timestamp.fromNow(60) } },
  { time_zone: 'Europe/Rome' },
);
console.log(next_due?.toDate().getTime());
await portal.pauseSubscription(stream_id);
await portal.resumeSubscription(stream_id);
const changed = await portal.changeSubscription(stream_id, { amount: 1999, prorate: true });
console.log(changed.amount, Currency.Millisats);
const { subscriptions, next } = await portal.listSubscriptions({ main_key: user, open: true });
console.log(subscriptions.length, next, (await portal.getSubscription(stream_id)).status);
const cancelled = await portal.cancelSubscription(stream_id, 'moved away');
console.log(cancelled?.why);
console.log('done');
