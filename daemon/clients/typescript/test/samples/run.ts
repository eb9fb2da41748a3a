/** Runs a sample against the fake daemon, with third parties stubbed. */
import { createRequire } from 'node:module';
import ts from 'typescript';
import type { PortalSDK } from 'portal-sdk';
import { PATIENCE, USER, type FakeDaemon } from '../fake-daemon.js';
import { splitImports, type Compiled } from './compile.js';

const require = createRequire(import.meta.url);
const sdk = require('portal-sdk') as Record<string, unknown> & { PortalSDK: typeof PortalSDK };

/** What a sample that runs may leave out. */
const FREE: Record<string, unknown> = {
  userPubkey: USER,
  userKey: USER,
  user: USER,
  mainKey: USER,
  recipientPubkey: USER,
  mintUrl: 'https://mint.example.com',
  subscriptionId: 'sub-1',
  request: { amount: 1000, currency: 'Millisats', description: 'tea' },
  paymentRequest: { amount: 1000, currency: 'Millisats', description: 'tea' },
  amount: 1000,
  ticketPrice: 1000,
  cashuToken: 'cashuA',
};
for (const name of ['handler', 'handler1', 'handler2', 'handleAuth', 'createUser', 'storeSession', 'removeUserAccess', 'findUserByPubkey', 'handleLocationAuth']) {
  FREE[name] = async () => undefined;
}
const CLIENTS = new Set(['client', 'portalClient']);
const STUBBED = new Set(['express', 'express-session']);

/** Whether all that a sample needs is there. */
export function isComplete({ block, free, modules }: Compiled): boolean {
  return (
    block.kind === 'statements' &&
    (/new PortalSDK\(/.test(block.text) ? !/\.authenticate\(/.test(block.text) || /\.connect\(/.test(block.text) : free.some((name) => CLIENTS.has(name))) &&
    free.every((name) => name in FREE || name in sdk || CLIENTS.has(name)) &&
    modules.every((name) => STUBBED.has(name)) &&
    !/^import (React|fs|crypto)\b/m.test(block.text)
  );
}

/** What a run has shown. */
export interface Run {
  log: string[];
  errors: string[];
  commands: string[];
}

/** Runs a sample until nothing is left to happen. */
export async function run(daemon: FakeDaemon, sample: Compiled): Promise<Run> {
  const result: Run = { log: [], errors: [], commands: [] };
  const clients: PortalSDK[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const app = new Express();
  class Recorded extends sdk.PortalSDK {
    constructor(config: ConstructorParameters<typeof PortalSDK>[0]) {
      super(config);
      clients.push(this);
    }
  }
  const portal = { ...sdk, PortalSDK: Recorded };
  const scope: Record<string, unknown> = {
    ...FREE,
    ...portal,
    exports: {},
    require: (name: string) => {
      if (name === 'portal-sdk') return portal;
      if (name === 'express') return Object.assign(() => app, { json: () => undefined });
      if (STUBBED.has(name)) return () => undefined;
      return require(name);
    },
    console: {
      log: (...parts: unknown[]) => result.log.push(parts.join(' ')),
      error: (...parts: unknown[]) => result.errors.push(parts.join(' ')),
    },
    process: {
      env: { AUTH_TOKEN: daemon.token, PORTAL_AUTH_TOKEN: daemon.token, PORTAL_WS_URL: daemon.url, NEXT_PUBLIC_PORTAL_WS_URL: daemon.url },
      on: () => undefined,
    },
    window: { location: { protocol: 'http:', href: '' } },
    fetch: async () => ({ json: async () => ({ data: { rates: { USD: '100000' } } }) }),
    setTimeout: (callback: () => void, ms: number) => {
      const timer = setTimeout(callback, ms);
      timers.add(timer);
      return timer;
    },
    clearTimeout: (timer: NodeJS.Timeout) => {
      timers.delete(timer);
      clearTimeout(timer);
    },
  };
  const failed = (thrown: unknown): void => {
    result.errors.push(`rejected: ${String(thrown)}`);
  };
  const from = daemon.frames.length;
  try {
    for (const name of sample.free.filter((free) => CLIENTS.has(free))) {
      const client = new Recorded({ serverUrl: daemon.url });
      await client.connect();
      await client.authenticate(daemon.token);
      scope[name] = client;
    }
    const code = toScript(sample.source.replaceAll('ws://localhost:3000/ws', daemon.url));
    // Names that the sample declares itself shadow ours.
    const execute = new Function('scope', `with (scope) { ${code}\n return sample_(); }`) as (scope: unknown) => Promise<void>;
    await execute(scope);
    await quiet(daemon, clients);
    await app.visitAll(() => quiet(daemon, clients));
  } catch (thrown) {
    failed(thrown);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    for (const client of clients) {
      client.on({ onDisconnected: undefined, onError: undefined });
      client.disconnect();
    }
  }
  result.commands = daemon.frames.slice(from).map(({ cmd }) => cmd);
  return result;
}

/** The sample as a script that defines `sample_`, an async function with the whole of it. */
function toScript(source: string): string {
  const { imports, rest } = splitImports(source);
  const declared = rest.replace(/^export \{\};$/gm, '').replace(/^export (default )?/gm, '');
  const { outputText } = ts.transpileModule(`${imports}\nasync function sample_() {\n${declared}\n}\n(globalThis as any).used = [sample_];`, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.CommonJS,
      esModuleInterop: true,
      alwaysStrict: false,
      strict: false,
      // Imports stay as they are written: types among them are gone with the annotations.
      jsx: ts.JsxEmit.React,
    },
  });
  return outputText.replace('"use strict";', '').replace(/globalThis\.used = .*$/m, '');
}

/** Waits until neither side waits for the other. */
async function quiet(daemon: FakeDaemon, clients: PortalSDK[]): Promise<void> {
  const end = Date.now() + PATIENCE;
  for (let calm = 0, frames = -1; calm < 5; ) {
    if (Date.now() > end) throw new Error('the sample does not come to rest');
    await new Promise((resolve) => setTimeout(resolve, 2));
    const waiting = clients.some((client) => {
      const { connection } = client as unknown as { connection: { opening?: unknown; calls: { list(): unknown[] } } };
      return connection.opening !== undefined || connection.calls.list().length > 0;
    });
    calm = waiting || daemon.frames.length !== frames ? 0 : calm + 1;
    frames = daemon.frames.length;
  }
}

/** As much of Express as the samples use; every route is visited once. */
class Express {
  private readonly routes: { path: string; handlers: ((...args: any[]) => unknown)[] }[] = [];

  get(path: string, ...handlers: ((...args: any[]) => unknown)[]): void {
    this.routes.push({ path, handlers });
  }

  post(path: string, ...handlers: ((...args: any[]) => unknown)[]): void {
    this.routes.push({ path, handlers });
  }

  use(): void {}

  listen(_port: number, callback?: () => void): void {
    callback?.();
  }

  async visitAll(quiet: () => Promise<void>): Promise<void> {
    let paymentId: unknown;
    for (const { path, handlers } of this.routes) {
      const request = {
        ip: '127.0.0.1',
        headers: { authorization: 'Bearer session' },
        params: { pubkey: USER, paymentId },
        body: { userPubkey: USER, amount: 10, description: 'tea' },
      };
      let [status, answer]: [number, any] = [200, undefined];
      const response = {
        status: (code: number) => {
          status = code;
          return response;
        },
        json: (body: unknown) => {
          answer = body;
          return response;
        },
      };
      for (const handler of handlers) await handler(request, response, () => undefined);
      await quiet();
      if (status !== 200 || !answer) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
      paymentId = answer.paymentId ?? paymentId;
    }
  }
}
