/**
 * The streams that are open, and who reads them.
 *
 * Every reader remembers the index up to which it has read, so nothing is delivered twice when a stream is
 * resumed. It sends nothing; resuming is the connection's affair.
 */
import { PortalSDKError, streamFailed } from './errors.js';
import type { NotificationData } from './types/wire.js';

/** What a reader says after an event. */
export type Reading =
  /** More is to come. */
  | 'open'
  /** The daemon may have ended the stream with it, or more is to come: only the daemon knows. */
  | 'ask'
  /** It has ended, but a late `paid` may follow. */
  | 'settled'
  /** Nothing follows. */
  | 'done';

/** Somebody who reads a stream. */
export interface Reader {
  /** The index up to which it has read. */
  position?: number;
  /** It wants what came before first: takes nothing until the daemon has agreed to send that. */
  held?: boolean;
  /** How long it makes sense to wait, in milliseconds; endless when absent. */
  lifetime?: number;
  /** Takes an event. */
  take(data: NotificationData, index?: number): Reading;
  /** The stream has ended early: given up (no error) or lost. */
  end(error?: PortalSDKError): void;
}

interface Stream {
  readonly readers: Set<Reader>;
  /** The highest index seen. */
  seen?: number;
  /** How many events it has in all, once the daemon has said that no more can come. */
  total?: number;
  /** All that is still waited for is a late `paid`. */
  settled: boolean;
}

/** A stream as it is to be resumed. */
export interface Resumable {
  streamId: string;
  settled: boolean;
}

/** How many settled payments are remembered for the sake of a late `paid`. */
const MAX_SETTLED = 256;
/** How many notifications are kept for streams whose announcement has not come yet. */
const MAX_EARLY = 256;

/** All open streams. */
export class StreamTable {
  private readonly streams = new Map<string, Stream>();
  private readonly settled = new Set<string>();
  /** Streams that end by themselves, with the moment after which they may be forgotten. */
  private readonly perishable = new Map<string, number>();
  /** Calls under way that will announce a stream. */
  private announced = 0;
  private early: { streamId: string; data: NotificationData; index?: number }[] = [];

  /**
   * `tell` hears of every event once, whoever reads the stream; `ask` has to find out whether the stream goes on
   * and report it to `resumed`.
   */
  constructor(
    private readonly tell: (data: NotificationData, streamId: string) => void,
    private readonly ask: (streamId: string) => void,
  ) {}

  /** A call that will announce a stream begins; keeps notifications that overtake its answer. */
  expect(): void {
    this.announced += 1;
  }

  /** That call has ended. */
  unexpect(): void {
    this.announced -= 1;
    if (this.announced === 0) this.early = [];
  }

  /** Adds a reader, and hands it what has come too early. */
  attach(streamId: string, reader: Reader): void {
    this.forgetExpired();
    if (reader.lifetime !== undefined) this.perishable.set(streamId, Date.now() + reader.lifetime);
    const stream = this.streams.get(streamId);
    if (stream) {
      stream.readers.add(reader);
      stream.settled = false;
      this.settled.delete(streamId);
    } else {
      this.streams.set(streamId, { readers: new Set([reader]), settled: false });
    }
    const waiting = this.early.filter((event) => event.streamId === streamId);
    if (waiting.length === 0) return;
    this.early = this.early.filter((event) => event.streamId !== streamId);
    for (const event of waiting) this.deliver(streamId, event.data, event.index);
  }

  /** Removes a reader that does not want to read on. */
  detach(streamId: string, reader: Reader): void {
    const stream = this.streams.get(streamId);
    if (!stream?.readers.delete(reader)) return;
    reader.end();
    if (stream.readers.size === 0) this.forget(streamId);
  }

  /** Takes a notification from the wire. Unknown streams are ignored. */
  deliver(streamId: string, data: NotificationData, index?: number): void {
    const stream = this.streams.get(streamId);
    if (!stream) {
      if (this.announced === 0) return;
      this.early.push({ streamId, data, index });
      if (this.early.length > MAX_EARLY) this.early.shift();
      return;
    }
    if (index === undefined || stream.seen === undefined || index > stream.seen) {
      stream.seen = index;
      this.tell(data, streamId);
    }
    let open = false;
    let asks = false;
    for (const reader of [...stream.readers]) {
      if (reader.held) {
        open = true;
        continue;
      }
      if (index !== undefined) {
        if (reader.position !== undefined && index <= reader.position) {
          open = true;
          continue;
        }
        reader.position = index;
      }
      const reading = reader.take(data, index);
      if (reading === 'done') stream.readers.delete(reader);
      else if (reading !== 'settled') open = true;
      asks ||= reading === 'ask';
    }
    if (this.streams.get(streamId) !== stream) return;
    if (data.type === 'error') {
      // What the backend itself took back, such as a static token, ends without a fault.
      const quiet = stream.settled || data.code === 'cancelled';
      for (const reader of [...stream.readers]) {
        if (reader.held) continue;
        stream.readers.delete(reader);
        reader.end(quiet ? undefined : streamFailed(streamId, data));
      }
    }
    if (this.finish(streamId, stream)) return;
    if (!open) this.settle(streamId, stream);
    else if (asks) this.ask(streamId);
  }

  /** Takes the daemon's answer to `ResumeStream`: whoever has read a stream that is over has nothing to wait for. */
  resumed(streamId: string, answer: unknown): void {
    const { events, open } = (answer ?? {}) as { events?: unknown; open?: unknown };
    const stream = this.streams.get(streamId);
    if (!stream || open !== false || typeof events !== 'number') return;
    stream.total = events;
    this.finish(streamId, stream);
  }

  /** The streams to resume after a loss. */
  resumable(): Resumable[] {
    return [...this.streams].map(([streamId, { settled }]) => ({ streamId, settled }));
  }

  /** The index behind which a stream is to be resumed, so that none of its readers misses anything. */
  after(streamId: string): number | undefined {
    let first: number | undefined;
    for (const { position } of this.streams.get(streamId)?.readers ?? []) {
      if (position === undefined) return undefined;
      if (first === undefined || position < first) first = position;
    }
    return first;
  }

  /** Ends a stream that cannot go on. */
  lose(streamId: string, error?: PortalSDKError): void {
    const stream = this.streams.get(streamId);
    if (!stream) return;
    this.forget(streamId);
    for (const reader of stream.readers) reader.end(error);
  }

  /** Ends all streams. */
  loseAll(error: PortalSDKError): void {
    for (const streamId of [...this.streams.keys()]) this.lose(streamId, error);
    this.early = [];
  }

  /** Whether anybody reads it. */
  has(streamId: string): boolean {
    return this.streams.has(streamId);
  }

  /** How many streams are open, settled ones included. */
  get size(): number {
    return this.streams.size;
  }

  /** Ends the readers that have read all of a stream that is over; true when nobody is left. */
  private finish(streamId: string, { readers, total }: Stream): boolean {
    for (const reader of total === undefined ? [] : [...readers]) {
      if ((reader.position ?? -1) + 1 < total!) continue;
      readers.delete(reader);
      reader.end();
    }
    if (readers.size > 0) return false;
    this.forget(streamId);
    return true;
  }

  private settle(streamId: string, stream: Stream): void {
    stream.settled = true;
    this.settled.add(streamId);
    if (this.settled.size <= MAX_SETTLED) return;
    for (const oldest of this.settled) {
      this.lose(oldest);
      break;
    }
  }

  private forget(streamId: string): void {
    this.streams.delete(streamId);
    this.settled.delete(streamId);
    this.perishable.delete(streamId);
  }

  /** The oldest come first, so only what is due is looked at. */
  private forgetExpired(): void {
    const now = Date.now();
    for (const [streamId, deadline] of this.perishable) {
      if (deadline > now) break;
      this.lose(streamId);
      this.perishable.delete(streamId);
    }
  }
}
