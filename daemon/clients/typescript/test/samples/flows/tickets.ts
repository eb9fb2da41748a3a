const { PortalSDK, Timestamp } = require('portal-sdk');

async function main() {
  const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
  await portal.connect();
  await portal.authenticate('token');
  const mint = 'https://mint.example.com';
  const ticket = await portal.mintCashu(mint, undefined, 'vip', 1, 'Front row');
  console.log(await portal.sendCashuDirect('some-key', [], ticket));
  const answer = await portal.requestCashu('some-key', [], mint, 'vip', 1);
  if (answer.status === 'success') console.log(await portal.burnCashu(mint, 'vip', answer.token, 'static'));
  else console.error(answer.status);
  const locked = await portal.mintCashu(mint, undefined, 'vip', 1, 'Front row', { lock_to: 'some-key', lock_until: Timestamp.fromNow(3600) });
  console.log((await portal.checkTicket({ mint_url: mint, unit: 'vip', token: locked, amount: 1 })).verdict);
  const { unclaimed } = await portal.getCashuWallet();
  for (const { token, since } of unclaimed) console.log(since.toDate().getTime(), await portal.takeBackCashu(token));
  for (const { number, event } of await portal.listTicketEvents()) console.log(number, event.type);
  console.log((await portal.redeemCashu({ mint_url: mint, unit: 'sat', token: ticket })).kept);
  console.log('done');
}

main().catch(console.error);
