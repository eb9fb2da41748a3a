const { PortalSDK } = require('portal-sdk');

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
  console.log('done');
}

main().catch(console.error);
