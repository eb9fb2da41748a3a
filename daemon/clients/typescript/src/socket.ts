/**
 * One WebSocket from opening to closing, the same in Node and browsers.
 *
 * It knows nothing of frames' meaning and never opens a second socket.
 */
import { PortalSDKError } from './errors.js';
import { after, runtime } from './runtime.js';

/** How often to ping, in milliseconds, and how much silence is suspicious where one cannot. */
const PING_EVERY = 20_000;
const SILENCE = 45_000;
/** How long the other side may take to say goodbye, in milliseconds. */
const GOODBYE = 1_000;

/** What is used of a WebSocket. */
export interface SocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  /** Only the `ws` package has these three. */
  ping?(): void;
  terminate?(): void;
  on?(event: string, listener: (...args: any[]) => void): unknown;
}

/** A WebSocket class. */
export type SocketConstructor = new (url: string) => SocketLike;

let platformSocket: SocketConstructor | undefined;

/** Sets the WebSocket class that is used when the options name none. */
export function setPlatformSocket(constructor: SocketConstructor): void {
  platformSocket = constructor;
}

/** An open socket. */
export class Link {
  private closed = false;
  private heard = true;
  /** When the last frame came. */
  lastHeard = Date.now();
  private stopHeartbeat: () => void = () => undefined;

  /** Called for every text frame. */
  onText: (text: string) => void = () => undefined;
  /** Called once when the socket is gone, but not by `close()`. */
  onLost: (reason: string) => void = () => undefined;
  /** Called after every so much silence, where one cannot ping. */
  onSilent: () => void = () => undefined;

  private constructor(private readonly socket: SocketLike) {}

  /**
   * Opens a socket. `abort` receives a function that gives up the attempt; `opened` runs in the very moment it opens.
   */
  static open(
    url: string,
    options: { webSocket?: SocketConstructor; timeout: number; heartbeat?: number },
    abort: (giveUp: () => void) => void,
    opened: (link: Link) => void,
  ): Promise<Link> {
    return new Promise((resolve, reject) => {
      const Socket = options.webSocket ?? platformSocket ?? (runtime.WebSocket as SocketConstructor | undefined);
      if (!Socket) {
        reject(new PortalSDKError('This runtime has no WebSocket; hand one over as `webSocket`', 'NOT_CONNECTED'));
        return;
      }
      let socket: SocketLike;
      try {
        socket = new Socket(url);
      } catch (error) {
        reject(connectionFailed(error));
        return;
      }
      const link = new Link(socket);
      let cause: unknown;
      const fail = (error: PortalSDKError): void => {
        cancelTimeout();
        link.close();
        reject(error);
      };
      const cancelTimeout = after(options.timeout, () =>
        fail(
          new PortalSDKError(`Connection timeout after ${options.timeout} ms`, 'CONNECTION_TIMEOUT', undefined, {
            retryable: true,
          }),
        ),
      );
      abort(() => fail(new PortalSDKError('Disconnected while connecting', 'CONNECTION_CLOSED')));
      // The error event comes first and knows why; in browsers it says nothing.
      socket.onerror = (event) => {
        cause = event?.error ?? event;
      };
      socket.onclose = () => fail(connectionFailed(cause));
      socket.onopen = () => {
        cancelTimeout();
        link.start(options.heartbeat);
        opened(link);
        resolve(link);
      };
    });
  }

  /** Sends a text frame; frames to a closed socket are dropped, since its loss is reported anyway. */
  send(text: string): void {
    if (!this.closed) this.socket.send(text);
  }

  /** Closes the socket without a report. */
  close(): void {
    if (this.closed) return;
    this.finish();
    const { socket } = this;
    // A dead peer would keep a Node process alive for half a minute.
    if (socket.terminate) socket.onclose = after(GOODBYE, () => socket.terminate?.());
    socket.close(1000);
  }

  /** Gives the socket up as lost, without waiting for the other side. */
  drop(reason: string): void {
    if (this.closed) return;
    this.finish();
    if (this.socket.terminate) this.socket.terminate();
    else this.socket.close();
    this.onLost(reason);
  }

  private start(heartbeat?: number): void {
    const { socket } = this;
    socket.onmessage = (event) => {
      this.heard = true;
      this.lastHeard = Date.now();
      if (!this.closed && typeof event.data === 'string') this.onText(event.data);
    };
    socket.onclose = (event) => {
      if (this.closed) return;
      this.finish();
      const reason = typeof event?.reason === 'string' && event.reason !== '' ? `: ${event.reason}` : '';
      this.onLost(`Connection closed${reason}`);
    };
    // An error is always followed by the close event, which reports it.
    socket.onerror = () => undefined;
    if (heartbeat === 0) return;
    if (socket.ping && socket.on) {
      const heard = (): void => {
        this.heard = true;
      };
      socket.on('ping', heard);
      socket.on('pong', heard);
      this.beat(heartbeat ?? PING_EVERY);
    } else {
      this.listen(heartbeat ?? SILENCE);
    }
  }

  private beat(interval: number): void {
    this.stopHeartbeat = after(interval, () => {
      if (!this.heard) {
        this.drop('Connection closed: the daemon does not answer');
        return;
      }
      this.heard = false;
      this.socket.ping?.();
      this.beat(interval);
    });
  }

  private listen(interval: number, wait = interval): void {
    this.stopHeartbeat = after(wait, () => {
      const left = this.lastHeard + interval - Date.now();
      if (left <= 0) this.onSilent();
      // A clock that was set back must not make it deaf.
      if (!this.closed) this.listen(interval, left > 0 ? Math.min(left, interval) : interval);
    });
  }

  private finish(): void {
    this.closed = true;
    this.stopHeartbeat();
    this.socket.onopen = null;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    // Stays a function: `ws` throws errors that nobody listens to.
    this.socket.onerror = () => undefined;
  }
}

function connectionFailed(cause: unknown): PortalSDKError {
  const { message, code } = (cause ?? {}) as { message?: unknown; code?: unknown };
  // For a name with several addresses Node reports an error with a code and no message.
  const why = [message, code].find((part) => typeof part === 'string' && part !== '');
  return new PortalSDKError(`Connection failed${why ? `: ${String(why)}` : ''}`, 'CONNECTION_CLOSED', cause, {
    retryable: true,
  });
}
