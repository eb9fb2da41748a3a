/** What every test needs: a daemon, a client of it, and both gone at the end. */
import type { TestContext } from 'node:test';
import { PortalSDK, PortalSDKError, type ClientConfig } from 'portal-sdk';
import { FakeDaemon, type FakeDaemonOptions } from './fake-daemon.js';

/** A client that reconnects fast. */
export function clientOf(t: TestContext, url: string, config: Partial<ClientConfig> = {}): PortalSDK {
  const client = new PortalSDK({ serverUrl: url, reconnect: { minDelay: 2, maxDelay: 20 }, ...config });
  t.after(() => client.disconnect());
  return client;
}

export async function daemonFor(t: TestContext, options: FakeDaemonOptions = {}): Promise<FakeDaemon> {
  const daemon = await FakeDaemon.start(options);
  t.after(() => daemon.stop());
  return daemon;
}

/** A daemon and a client that is logged in. */
export async function loggedIn(
  t: TestContext,
  options: FakeDaemonOptions = {},
  config: Partial<ClientConfig> = {},
): Promise<{ daemon: FakeDaemon; client: PortalSDK; errors: PortalSDKError[] }> {
  const daemon = await daemonFor(t, options);
  const client = clientOf(t, daemon.url, config);
  const errors: PortalSDKError[] = [];
  client.on({ onError: (error) => errors.push(error) });
  await client.connect();
  await client.authenticate(daemon.token);
  return { daemon, client, errors };
}

/** A promise and its ends. */
export function deferred<T>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Matches an error of the SDK by its members, for `assert.rejects`. */
export function sdkError(code: string, more: Partial<PortalSDKError> = {}): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof PortalSDKError)) throw new Error(`not a PortalSDKError: ${String(error)}`);
    const wanted = { code, ...more } as Record<string, unknown>;
    for (const [member, value] of Object.entries(wanted)) {
      const found = (error as unknown as Record<string, unknown>)[member];
      if (found !== value) throw new Error(`${member} is ${String(found)}, not ${String(value)}: ${error.message}`);
    }
    return true;
  };
}
