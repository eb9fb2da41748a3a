/** The one error class of the package, and how the daemon's error frames become it. */
import type { DaemonErrorCode } from './types/codes.js';
import type { Command } from './types/wire.js';

/** What went wrong, as seen by the client. These words never change. */
export type PortalSDKErrorCode =
  /** `connect()` was not called, or `disconnect()` was. */
  | 'NOT_CONNECTED'
  /** The socket did not open in time. */
  | 'CONNECTION_TIMEOUT'
  /** The socket closed, or could not be opened. */
  | 'CONNECTION_CLOSED'
  /** The daemon refused the token, or the socket had not authenticated. */
  | 'AUTH_FAILED'
  /** The daemon answered with something else than was asked for. */
  | 'UNEXPECTED_RESPONSE'
  /** The daemon answered with an error, or ended a stream with one; `daemonCode` says which. */
  | 'SERVER_ERROR'
  /** A frame could not be read. */
  | 'PARSE_ERROR'
  /** No answer came in time. */
  | 'REQUEST_TIMEOUT'
  /** A stream cannot go on: the daemon does not know it (any more), or its reader fell too far behind. */
  | 'STREAM_LOST'
  /** A callback that was handed to the SDK threw. */
  | 'CALLBACK_FAILED';

/** What else is known about an error. */
export interface PortalSDKErrorInfo {
  /** Whatever helps to find the cause: the frame, the command, the cause. */
  details?: unknown;
  /** The daemon's own stable code, such as `not_configured`. Older daemons send none, newer ones may send others. */
  daemonCode?: DaemonErrorCode | (string & {});
  /** Whether the same call may succeed later, unchanged and without doing anything twice. */
  retryable?: boolean;
  /** The idempotency key of the call that failed. */
  idempotencyKey?: string;
}

/** Every error that the SDK throws, rejects with or reports. */
export class PortalSDKError extends Error {
  readonly code: PortalSDKErrorCode;
  readonly details?: unknown;
  /** The daemon's own stable code, such as `not_configured`. Older daemons send none, newer ones may send others. */
  readonly daemonCode?: DaemonErrorCode | (string & {});
  /** Whether the same call may succeed later, unchanged and without doing anything twice. */
  readonly retryable: boolean;
  /**
   * The idempotency key of the call that failed, also when it was a random one: the same call with it goes on with
   * what was begun instead of doing it again.
   */
  readonly idempotencyKey?: string;

  constructor(message: string, code: PortalSDKErrorCode, details?: unknown, info: PortalSDKErrorInfo = {}) {
    super(message);
    this.name = 'PortalSDKError';
    this.code = code;
    this.details = details;
    this.daemonCode = info.daemonCode;
    this.retryable = info.retryable ?? false;
    this.idempotencyKey = info.idempotencyKey;
  }
}

/** An error frame as it comes from the daemon; all but `message` may be missing. */
export interface ErrorFrame {
  message?: unknown;
  code?: unknown;
  retryable?: unknown;
}

const AUTH_CODES = new Set(['auth_failed', 'unauthenticated']);

/**
 * The error for an error frame that answers `command`.
 *
 * Only the code decides whether it is about authentication, never the words of the message. A daemon
 * without codes is believed to mean authentication only when it answers `Auth` itself.
 */
export function daemonError(frame: ErrorFrame, command?: Command): PortalSDKError {
  const cmd = command?.cmd;
  const message = typeof frame.message === 'string' && frame.message !== '' ? frame.message : 'The daemon reported an error';
  const daemonCode = typeof frame.code === 'string' ? frame.code : undefined;
  const isAuth = daemonCode === undefined ? cmd === 'Auth' : AUTH_CODES.has(daemonCode);
  return new PortalSDKError(message, isAuth ? 'AUTH_FAILED' : 'SERVER_ERROR', { cmd, frame }, {
    daemonCode,
    retryable: frame.retryable === true,
    idempotencyKey: command?.idempotency_key,
  });
}

/** The error for a stream that ended without what it was for. */
export function streamFailed(streamId: string, event: { code?: unknown; reason?: unknown }): PortalSDKError {
  const reason = typeof event.reason === 'string' && event.reason !== '' ? event.reason : 'The stream ended with an error';
  return new PortalSDKError(reason, 'SERVER_ERROR', { streamId, event }, {
    daemonCode: typeof event.code === 'string' ? event.code : undefined,
  });
}

/** Any thrown thing as a `PortalSDKError`. */
export function asPortalError(thrown: unknown, code: PortalSDKErrorCode): PortalSDKError {
  if (thrown instanceof PortalSDKError) return thrown;
  return new PortalSDKError(thrown instanceof Error ? thrown.message : String(thrown), code, thrown);
}
