/** The two ways to read a stream: a callback, and `for await`. */
import { PortalSDKError } from './errors.js';
import type { Reader, Reading } from './streams.js';
import type { NotificationData } from './types/wire.js';

/** How to understand the events of one kind of stream. */
export interface StreamKind<T> {
  /** The event as the application sees it; `undefined` for events of another type. */
  read(data: NotificationData, index?: number): T | undefined;
  /** Whether more is to come after it. */
  reading(value: T, index?: number): Reading;
  /** How long it makes sense to wait, in milliseconds; endless when absent. */
  lifetime?: number;
}

/** Reads into a callback. Unreadable streams are reported by `lost`. */
export class CallbackReader<T> implements Reader {
  position?: number;
  readonly lifetime?: number;

  constructor(
    private readonly kind: StreamKind<T>,
    private readonly callback: (value: T) => void,
    private readonly lost: (error: PortalSDKError) => void,
  ) {
    this.lifetime = kind.lifetime;
  }

  take(data: NotificationData, index?: number): Reading {
    const value = this.kind.read(data, index);
    if (value === undefined) return 'open';
    this.callback(value);
    return this.kind.reading(value, index);
  }

  end(error?: PortalSDKError): void {
    if (error) this.lost(error);
  }
}

/** How many events wait for a slow `for await` before it is ended with an error. */
const MAX_WAITING = 10_000;

/**
 * A stream for `for await`. Events are kept from the moment on at which it was made, each is delivered once,
 * and a lost connection only delays them. Leaving the loop, or `close()`, ends it.
 */
export class PortalStream<T> implements AsyncIterableIterator<T>, Reader {
  position?: number;
  /** @internal */
  held?: boolean;
  readonly lifetime?: number;
  private readonly waiting: T[] = [];
  private readonly takers: { resolve(result: IteratorResult<T>): void; reject(error: unknown): void }[] = [];
  private ended = false;
  private error?: PortalSDKError;

  constructor(
    /** Its id, by which `streamEvents` can read it again, also after a restart. */
    readonly streamId: string,
    private readonly kind: StreamKind<T>,
    private readonly leave: (stream: PortalStream<T>) => void,
  ) {
    this.lifetime = kind.lifetime;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.waiting.length > 0) return Promise.resolve({ done: false, value: this.waiting.shift() as T });
    if (this.error) {
      const { error } = this;
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.takers.push({ resolve, reject }));
  }

  /** Ends the stream; what has not been read is dropped. */
  return(): Promise<IteratorResult<T>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends the stream; what has not been read is dropped. */
  close(): void {
    this.waiting.length = 0;
    this.error = undefined;
    this.leave(this);
    this.end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal */
  take(data: NotificationData, index?: number): Reading {
    if (this.ended) return 'done';
    const value = this.kind.read(data, index);
    if (value === undefined) return 'open';
    const taker = this.takers.shift();
    if (taker) taker.resolve({ done: false, value });
    else this.waiting.push(value);
    if (this.waiting.length > MAX_WAITING) {
      this.end(new PortalSDKError('Stream lost: its reader is too slow', 'STREAM_LOST', { streamId: this.streamId }));
      return 'done';
    }
    // A loop that waits for a late `paid` would seem to hang.
    const reading = this.kind.reading(value, index);
    if (reading === 'open' || reading === 'ask') return reading;
    this.end();
    return 'done';
  }

  /** @internal */
  end(error?: PortalSDKError): void {
    if (this.ended) return;
    this.ended = true;
    const [first, ...rest] = this.takers.splice(0);
    if (error && first) first.reject(error);
    else {
      this.error = error;
      first?.resolve({ done: true, value: undefined });
    }
    for (const taker of rest) taker.resolve({ done: true, value: undefined });
  }
}
