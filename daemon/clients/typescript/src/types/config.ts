/** How a client is set up, and what it reports. */
import type { PortalSDKError } from '../errors.js';
import type { SocketConstructor } from '../socket.js';
import type { NotificationData } from './wire.js';

/** How lost connections are made again. */
export interface ReconnectOptions {
  /** The first wait, in milliseconds. Default 250. */
  minDelay?: number;
  /** The longest wait, in milliseconds. Default 10,000. */
  maxDelay?: number;
}

/** The options of a client. */
export interface ClientConfig {
  /** For example `ws://localhost:3000/ws`. */
  serverUrl: string;
  /** How long `connect()` may take, in milliseconds. Default 10,000. */
  connectTimeout?: number;
  /** Prints commands and connection events to the console, without their contents. */
  debug?: boolean;
  /** How long calls may take that the daemon answers by itself, in milliseconds. Default 30,000. */
  requestTimeout?: number;
  /** How long calls may take that wait for a person, a wallet or a mint, in milliseconds. Default 330,000. */
  waitTimeout?: number;
  /** Whether and how to reconnect once authenticated. Default: yes. */
  reconnect?: boolean | ReconnectOptions;
  /**
   * How often to check that the daemon is still there, in milliseconds; 0 for never. Default 20,000 in Node.
   * Browsers cannot ping: there a call is made after so much silence while something is waited for. Default 45,000.
   */
  heartbeat?: number;
  /** The WebSocket class, where the runtime has none of its own. */
  webSocket?: SocketConstructor;
}

/** The options of one call. */
export interface CallOptions {
  /** How long this call may take, in milliseconds. */
  timeout?: number;
  /** The same key with the same command never does a thing twice. A random one is used when it is missing. */
  idempotencyKey?: string;
}

/** What happens to the connection as a whole. */
export interface EventCallbacks {
  /** For every key handshake, whichever URL it came by. */
  onKeyHandshake?: (mainKey: string, preferredRelays: string[]) => void;
  /** For whatever no promise can tell: failed attempts to reconnect, streams that end with an error, unreadable frames. */
  onError?: (error: PortalSDKError) => void;
  /** The socket is open; after a loss, when calls and streams go on as well. */
  onConnected?: () => void;
  /** The socket is gone. Unless `disconnect()` was called, the client reconnects by itself. */
  onDisconnected?: () => void;
}

/** A listener for one type of notification, or for `'all'`. */
export type NotificationListener = (data: NotificationData, streamId?: string) => void;
