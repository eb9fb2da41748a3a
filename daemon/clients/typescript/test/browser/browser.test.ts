/** The module as browsers get it: served as a file, imported by a page, in a real browser. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { FakeDaemon, USER } from '../fake-daemon.js';
import { Chromium, findChromium } from './chromium.js';

const module = readFileSync(fileURLToPath(new URL('../../dist/index.js', import.meta.url)));

const page = (url: string, script: string): string => `<!doctype html><meta charset="utf-8"><script type="module">
import { PortalSDK, PortalSDKError, Currency } from '/dist/index.js';
const serverUrl = ${JSON.stringify(url)};
globalThis.result = (async () => { ${script} })();
</script>`;

test('a page logs in, charges and goes on after a lost socket', async (t) => {
  const path = findChromium();
  if (path === undefined) {
    t.skip('no Chromium: install it, or name it in CHROMIUM');
    return;
  }
  const daemon = await FakeDaemon.start({ autopilot: false });
  t.after(() => daemon.stop());
  const pages: Record<string, string> = {
    '/pay': page(
      daemon.url,
      `const client = new PortalSDK({ serverUrl, reconnect: { minDelay: 5 } });
       await client.connect();
       await client.authenticate('secret-token');
       const key = await new Promise((resolve) => client.newKeyHandshakeUrl(resolve));
       const login = await client.authenticateKey(key);
       const statuses = [];
       const payment = await client.streamSinglePayment(key, [], { amount: 1000, currency: Currency.Millisats, description: 'tea' });
       for await (const { status } of payment) {
         statuses.push(status);
         if (status === 'user_approved') await client.sendCommand('Cut').catch(() => undefined);
       }
       return { key, login: login.status.status, statuses };`,
    ),
    '/errors': page(
      daemon.url,
      `const codes = [];
       const wrong = new PortalSDK({ serverUrl });
       await wrong.connect();
       await wrong.authenticate('wrong').catch((error) => codes.push(error instanceof PortalSDKError && error.code));
       await new PortalSDK({ serverUrl: 'ws://127.0.0.1:1/ws' }).connect().catch((error) => codes.push(error.code));
       const client = new PortalSDK({ serverUrl });
       await client.connect();
       await client.authenticate('secret-token');
       const waiting = client.sendCommand('Never');
       client.disconnect();
       await waiting.catch((error) => codes.push(error.code));
       return codes;`,
    ),
  };
  const server = createServer((request, response) => {
    const body = request.url === '/dist/index.js' ? module : pages[request.url ?? ''];
    response.writeHead(body ? 200 : 404, { 'content-type': request.url === '/dist/index.js' ? 'text/javascript' : 'text/html' });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const stream = daemon.openStream();
  daemon.on('NewKeyHandshakeUrl', () => {
    const stream_id = daemon.openStream();
    daemon.notify(stream_id, { type: 'key_handshake', main_key: USER, preferred_relays: [] });
    return { type: 'key_handshake_url', url: 'portal://x', stream_id };
  });
  daemon.on('RequestSinglePayment', () => ({ type: 'single_payment', stream_id: stream }));
  daemon.on('Never', () => new Promise(() => undefined));
  let cuts = 0;
  daemon.on('Cut', () => {
    // Once: the page sends it again after the loss, with the same key.
    cuts += 1;
    daemon.cut();
    daemon.status(stream, 'user_success');
    daemon.status(stream, 'paid');
    return { type: 'cut' };
  });

  const chromium = await Chromium.start(path);
  t.after(() => chromium.stop());
  const paying = chromium.result(`${base}/pay`);
  await daemon.until(() => daemon.of('RequestSinglePayment').length === 1, 'the page asks for a payment');
  daemon.status(stream, 'user_approved');
  assert.deepEqual(await paying, { key: USER, login: 'approved', statuses: ['user_approved', 'user_success', 'paid'] });
  assert.equal(cuts, 1);
  assert.deepEqual(await chromium.result(`${base}/errors`), ['AUTH_FAILED', 'CONNECTION_CLOSED', 'CONNECTION_CLOSED']);
});
