/** A headless Chromium with one page, driven over its own protocol. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';

const NAMES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-port=0',
];
const PATIENCE = 30_000;

/** Where Chromium is, if anywhere: what `CHROMIUM` names, whether it is there or not, else a usual place. */
export function findChromium(): string | undefined {
  return process.env['CHROMIUM'] || NAMES.find((path) => existsSync(path));
}

export class Chromium {
  private id = 0;
  private readonly waiting = new Map<number, { resolve(value: any): void; reject(error: unknown): void }>();

  private constructor(
    private readonly process: ChildProcess,
    private readonly socket: WebSocket,
    private readonly profile: string,
  ) {
    socket.on('message', (raw) => {
      const { id, result, error } = JSON.parse(String(raw));
      const call = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    });
  }

  static async start(path: string): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'portal-chromium-'));
    const child = spawn(path, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    let said = '';
    const endpoint = await new Promise<string>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`Chromium does not start: ${said}`)), PATIENCE);
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`Chromium ended: ${said}`)));
      child.stderr!.on('data', (chunk: Buffer) => {
        said += chunk;
        const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
        if (!found) return;
        clearTimeout(limit);
        resolve(found);
      });
    }).catch((error: unknown) => {
      killGroup(child);
      rmSync(profile, { recursive: true, force: true });
      throw error;
    });
    const socket = new WebSocket(endpoint);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Chromium(child, socket, profile);
  }

  /** Opens a page and resolves to what its promise `window.result` becomes. */
  async result(url: string): Promise<any> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    await this.send('Page.navigate', { url }, sessionId);
    const end = Date.now() + PATIENCE;
    for (;;) {
      // The page may still be about to load; then there is no result yet.
      const { result, exceptionDetails } = await this.send(
        'Runtime.evaluate',
        { expression: 'globalThis.result', awaitPromise: true, returnByValue: true },
        sessionId,
      ).catch(() => ({ result: { type: 'undefined' }, exceptionDetails: undefined }));
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      if (result.type !== 'undefined') return result.value;
      if (Date.now() > end) throw new Error(`no result from ${url}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Closes the browser with all its processes, which otherwise go on writing to the profile. */
  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.process.once('exit', resolve));
    const limit = setTimeout(() => killGroup(this.process), 5_000);
    await this.send('Browser.close', {}).catch(() => killGroup(this.process));
    await gone;
    clearTimeout(limit);
    this.socket.terminate();
    killGroup(this.process);
    await rm(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  private send(method: string, params: unknown, sessionId?: string): Promise<any> {
    this.id += 1;
    const { id } = this;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${method}: no answer`)), PATIENCE);
      const settle = (end: (value: any) => void) => (value: any) => {
        clearTimeout(limit);
        end(value);
      };
      this.waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }
}

/** Ends the processes of a browser: those of the group that it leads, none else. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
