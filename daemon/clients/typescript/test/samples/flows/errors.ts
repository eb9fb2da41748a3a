import { PortalSDK, PortalSDKError } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://127.0.0.1:1/ws' });
try {
  await portal.connect();
  console.error('connected to nothing');
} catch (error) {
  if (!error.message.includes('ECONNREFUSED')) console.error(error.message);
  if (!(error instanceof PortalSDKError) || error.code !== 'CONNECTION_CLOSED' || !error.retryable) console.error(error);
}
console.log('done');
