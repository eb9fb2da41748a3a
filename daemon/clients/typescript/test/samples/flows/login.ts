import { PortalSDK } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws', connectTimeout: 5000 });
portal.on({
  onConnected: () => console.log('connected'),
  onDisconnected: () => console.log('disconnected'),
  onError: (error) => console.error(error.message),
});
await portal.connect();
await portal.authenticate(process.env.AUTH_TOKEN);

const session = await new Promise<string>((resolve) => {
  portal.newKeyHandshakeUrl(async (mainKey, preferredRelays) => {
    for (const relay of preferredRelays) await portal.addRelay(relay);
    const answer = await portal.authenticateKey(mainKey);
    if (answer.status.status === 'approved') resolve(answer.status.session_token);
    else console.error(answer.status.reason);
  });
});
console.log(session, (await portal.authenticateKey(session, [])).challenge);
portal.disconnect();
console.log('done');
