/** The few globals of Node and browsers that are used, so that neither's types are needed. */

/** What `setTimeout` returns, whatever it is. */
export type Timer = unknown;

interface Runtime {
  setTimeout(run: () => void, ms: number): Timer;
  clearTimeout(timer: Timer): void;
  console: { debug(...args: unknown[]): void; error(...args: unknown[]): void };
  crypto?: { getRandomValues(bytes: Uint8Array): Uint8Array };
  WebSocket?: unknown;
}

export const runtime = globalThis as unknown as Runtime;

/** The longest wait that timers can hold. */
const MAX_TIMER = 2 ** 31 - 1;

/** Calls `run` after `ms` and returns how to prevent it. */
export function after(ms: number, run: () => void): () => void {
  if (!(ms < MAX_TIMER)) return () => undefined;
  const timer = runtime.setTimeout(run, ms);
  return () => runtime.clearTimeout(timer);
}

/** Sixteen random bytes. */
function randomBytes(): Uint8Array {
  const bytes = new Uint8Array(16);
  if (runtime.crypto) return runtime.crypto.getRandomValues(bytes);
  return bytes.map(() => Math.floor(Math.random() * 256));
}

/** A random UUID (version 4). */
export function randomUuid(): string {
  const bytes = randomBytes();
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A random id for a command: letters and digits. */
export function randomId(): string {
  return Array.from(randomBytes(), (byte) => (byte % 36).toString(36)).join('');
}
