import { PortalSDK } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
await portal.connect();
await portal.authenticate('token');
const forOneTable = await portal.newKeyHandshakeUrl((mainKey) => console.log(mainKey), 'table-7');
const keyOnly = await portal.newKeyHandshakeUrl((mainKey, relays) => console.log(mainKey, relays), null, true);
if (!forOneTable.startsWith('portal:') || forOneTable === keyOnly) console.error('not two URLs');
for await (const { mainKey } of await portal.streamKeyHandshakes('table-8')) {
  console.log(mainKey);
  break;
}
await portal.revokeStaticToken('table-7');
console.log('done');
