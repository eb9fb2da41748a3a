/**
 * The connection to the daemon: one socket at a time, log-in, and what happens when the socket is lost.
 *
 * ```text
 * idle -> opening -> open -> authenticated        (connect, authenticate)
 *                              | socket lost
 *                              v
 *                          reconnecting -> authenticated   (open, Auth, ResumeStream, waiting calls)
 * ```
 * Before the first log-in a lost socket ends everything; after it, calls and streams wait for the next one.
 */
import { CallTable, closedError, encode, type Call, type CallSpec } from './calls.js';
import { PortalSDKError, asPortalError, daemonError, type ErrorFrame } from './errors.js';
import type { EventHub } from './events.js';
import { Backoff, Retry } from './reconnect.js';
import { after, runtime } from './runtime.js';
import { Link } from './socket.js';
import type { Resumable, StreamTable } from './streams.js';
import type { ClientConfig } from './types/config.js';
import type { NotificationData } from './types/wire.js';

/** How long the daemon may take to answer a log-in or a resumption while reconnecting. */
const RESUME_TIMEOUT = 15_000;
/** How many streams are resumed at once. */
const RESUMES_AT_ONCE = 32;
/** How long to wait when the daemon says that it is asked too much, and how often. */
const BUSY_WAIT = 1_000;
const BUSY_TRIES = 30;
/** How long a daemon that has been silent may take to answer. */
const SIGN_OF_LIFE = 10_000;
/** How long calls wait for `authenticate()`; the daemon itself closes a socket that does not log in after 5 s. */
const LOG_IN_GRACE = 5_000;
/** A stream that never exists, to learn whether the daemon can resume at all. */
const NO_STREAM = '00000000-0000-0000-0000-000000000000';

/** A connection that heals itself. */
export class Connection {
  private readonly calls: CallTable;
  /** The limits, with their defaults. */
  readonly config: Required<Pick<ClientConfig, 'connectTimeout' | 'requestTimeout' | 'waitTimeout'>>;
  private link?: Link;
  /** The token that the daemon accepted last. */
  private token?: string;
  /** The present socket is logged in and everything may be sent. */
  private ready = false;
  private opening?: Promise<void>;
  private giveUpOpening: () => void = () => undefined;
  private authenticating?: { token: string; done: Promise<unknown> };
  private cancelGrace?: () => void;
  private reconnecting?: { retry: Retry; done: Promise<void> };
  /** The socket was lost before the first log-in, nobody has disconnected. */
  private lostEarly = false;

  constructor(
    private readonly options: ClientConfig,
    private readonly events: EventHub,
    private readonly streams: StreamTable,
  ) {
    this.config = {
      connectTimeout: options.connectTimeout ?? 10_000,
      requestTimeout: options.requestTimeout ?? 30_000,
      waitTimeout: options.waitTimeout ?? 330_000,
    };
    this.calls = new CallTable(this.config, (call) => {
      const { link } = this;
      if (call.prompt && call.sent && link && link.lastHeard <= call.sentAt) {
        link.drop('Connection closed: the daemon does not answer');
      }
    });
  }

  /** Opens the socket, or joins whoever is doing so. */
  async connect(): Promise<void> {
    if (this.reconnecting) return this.join(this.reconnecting.done, this.config.connectTimeout);
    if (this.link) return;
    this.opening ??= this.openFirst().finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  /** Logs in, or joins whoever is doing so with the same token. */
  async authenticate(token: string): Promise<void> {
    if (this.reconnecting) await this.join(this.reconnecting.done, this.config.requestTimeout);
    else if (this.opening || this.lostEarly) await this.connect();
    if (!this.link) throw notConnected();
    if (this.authenticating?.token === token) await this.authenticating.done;
    else if (!this.ready || this.token !== token) await this.logIn(token);
  }

  /** Sends `Auth` and resolves to the data of its answer. */
  async logIn(token: string): Promise<unknown> {
    if (!this.link) throw notConnected();
    const done = this.sendAuth(this.link, token).finally(() => {
      if (this.authenticating?.done === done) this.authenticating = undefined;
    });
    this.authenticating = { token, done };
    return done;
  }

  /** Ends everything; what waits is rejected. */
  disconnect(): void {
    const wasOpen = this.link !== undefined;
    this.token = undefined;
    this.lostEarly = false;
    const error = new PortalSDKError('Connection closed by disconnect()', 'CONNECTION_CLOSED');
    this.stop(error);
    if (wasOpen) this.events.disconnected();
  }

  /** Sends a command, once logged in, and waits for its answer. */
  call(cmd: string, params: Record<string, unknown> | undefined, spec: CallSpec = {}, done: () => void = () => undefined): Promise<unknown> {
    if (!this.link && !this.reconnecting && !this.opening) {
      done();
      return Promise.reject(notConnected());
    }
    let call: Call;
    let promise: Promise<unknown>;
    try {
      [call, promise] = this.calls.add(cmd, params, spec, done);
    } catch (error) {
      done();
      return Promise.reject(error);
    }
    if (spec.bound || this.ready) this.transmit(call);
    else this.awaitLogIn();
    return promise;
  }

  /** Attaches this socket to a stream, or attaches it again, to learn whether the stream is over. */
  async resume(streamId: string, spec: CallSpec = {}, agreed: () => void = () => undefined): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const { link } = this;
      const after = this.streams.after(streamId);
      const params = after === undefined ? { stream_id: streamId } : { stream_id: streamId, after };
      // The hook runs before any event that follows is looked at.
      const take = (answer: unknown): void => {
        agreed();
        this.streams.resumed(streamId, answer);
      };
      try {
        await this.call('ResumeStream', params, { ...spec, take });
        return;
      } catch (thrown) {
        if (asPortalError(thrown, 'CONNECTION_CLOSED').daemonCode !== 'rate_limited' || tries === BUSY_TRIES) throw thrown;
        await sleep(BUSY_WAIT);
        // What belongs to a socket ends with it.
        if (spec.bound && this.link !== link) throw thrown;
        if (!this.streams.has(streamId)) return;
      }
    }
  }

  // --- the first socket ---

  private async openFirst(): Promise<void> {
    this.lostEarly = false;
    try {
      const link = await this.openLink();
      if (this.link !== link) throw new PortalSDKError('Disconnected while connecting', 'CONNECTION_CLOSED');
    } catch (thrown) {
      const error = asPortalError(thrown, 'CONNECTION_CLOSED');
      // A connection that was made meanwhile is not concerned.
      if (!this.link && !this.reconnecting) this.calls.rejectAll(error);
      throw error;
    }
    if (this.calls.list().length > 0) this.awaitLogIn();
    this.events.connected();
  }

  /** Calls that come before the log-in wait for it, but not for ever. */
  private awaitLogIn(): void {
    if (this.cancelGrace || !this.link || this.reconnecting || this.authenticating) return;
    this.cancelGrace = after(Math.min(LOG_IN_GRACE, this.config.connectTimeout), () => {
      this.cancelGrace = undefined;
      if (this.ready || this.reconnecting || this.authenticating) return;
      this.rejectUnsent(new PortalSDKError('Not authenticated: call authenticate() first', 'AUTH_FAILED'));
    });
  }

  private rejectUnsent(error: PortalSDKError): void {
    for (const call of this.calls.list()) if (!call.sent) call.reject(closedError(error, call));
  }

  private openLink(): Promise<Link> {
    return Link.open(
      this.options.serverUrl,
      { webSocket: this.options.webSocket, timeout: this.config.connectTimeout, heartbeat: this.options.heartbeat },
      (giveUp) => {
        this.giveUpOpening = giveUp;
      },
      (link) => {
        link.onText = (text) => this.receive(text);
        link.onLost = (reason) => this.lost(link, reason);
        link.onSilent = () => this.checkLife();
        this.link = link;
        this.debug('connected');
      },
    );
  }

  private async sendAuth(link: Link, token: string): Promise<unknown> {
    // The hook runs before any later frame is read, so nothing can come between log-in and `ready`.
    const answer = this.call('Auth', { token }, {
      bound: true,
      take: (data) => {
        if ((data as { type?: unknown })?.type !== 'auth_success') {
          throw new PortalSDKError('Unexpected answer to Auth', 'UNEXPECTED_RESPONSE', data);
        }
        if (this.link !== link || this.reconnecting) return data;
        this.token = token;
        this.authenticating = undefined;
        this.ready = true;
        for (const call of this.calls.list()) if (!call.sent) this.transmit(call);
        return data;
      },
    });
    try {
      return await answer;
    } catch (thrown) {
      // What was called meanwhile has been waiting for this log-in.
      const error = asPortalError(thrown, 'CONNECTION_CLOSED');
      if (this.link === link && !this.ready) this.rejectUnsent(error);
      throw error;
    }
  }

  // --- loss and recovery ---

  private lost(link: Link, reason: string): void {
    if (this.link !== link) return;
    this.debug(reason);
    this.link = undefined;
    const wasReconnecting = this.reconnecting !== undefined;
    const recover = this.token !== undefined && this.options.reconnect !== false;
    this.ready = false;
    this.authenticating = undefined;
    const error = new PortalSDKError(reason, 'CONNECTION_CLOSED', undefined, { retryable: true });
    if (!wasReconnecting && recover) this.startReconnecting();
    this.calls.rejectBound(error);
    if (wasReconnecting) return;
    if (!recover) {
      this.lostEarly = this.token === undefined;
      this.token = undefined;
      this.stop(error);
    }
    this.events.disconnected();
  }

  private startReconnecting(): void {
    const retry = new Retry();
    const options = typeof this.options.reconnect === 'object' ? this.options.reconnect : {};
    const done = retry.run(new Backoff(options), () => this.tryAgain(retry)).then(
      (connected) => {
        if (!connected) throw new PortalSDKError('Connection closed by disconnect()', 'CONNECTION_CLOSED');
      },
      (thrown: unknown) => {
        const error = asPortalError(thrown, 'CONNECTION_CLOSED');
        if (this.reconnecting?.retry === retry) {
          this.token = undefined;
          this.stop(error);
          this.events.error(error);
        }
        throw error;
      },
    );
    // Whoever joins sees the outcome; when nobody does, it has been reported already.
    done.catch(() => undefined);
    this.reconnecting = { retry, done };
  }

  /** One attempt: a socket, the log-in, the streams, then the calls. */
  private async tryAgain(retry: Retry): Promise<boolean> {
    const token = this.token;
    if (token === undefined) return false;
    let link: Link | undefined;
    try {
      link = await this.openLink();
      await this.call('Auth', { token }, { bound: true, timeout: RESUME_TIMEOUT });
      const resumes = await this.resumeStreams();
      if (this.link !== link || this.reconnecting?.retry !== retry) return false;
      this.reconnecting = undefined;
      this.ready = true;
      this.sendWaiting(resumes);
      this.events.connected();
      return true;
    } catch (thrown) {
      const error = asPortalError(thrown, 'CONNECTION_CLOSED');
      if (this.reconnecting?.retry !== retry) return false;
      if (link && this.link === link) {
        this.link = undefined;
        link.close();
        this.calls.rejectBound(error);
      }
      if (error.code === 'AUTH_FAILED') throw error;
      this.events.error(error);
      return false;
    }
  }

  /** Attaches the new socket to all streams, some at a time; returns whether the daemon can resume at all. */
  private async resumeStreams(): Promise<boolean> {
    const { link } = this;
    let asked = false;
    let resumes = false;
    // All workers take from the one iterator.
    const rest = this.streams.resumable()[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const stream of rest) {
        if (this.link !== link) return;
        if (!this.streams.has(stream.streamId)) continue;
        asked = true;
        if (await this.resumeStream(stream)) resumes = true;
      }
    };
    await Promise.all(Array.from({ length: RESUMES_AT_ONCE }, work));
    if (asked) return resumes;
    const atRisk = this.calls.list().some((call) => call.sent && call.command.idempotency_key !== undefined);
    return atRisk && this.resumeStream({ streamId: NO_STREAM, settled: true });
  }

  private async resumeStream(stream: Resumable): Promise<boolean> {
    try {
      await this.resume(stream.streamId, { bound: true, timeout: RESUME_TIMEOUT });
      return true;
    } catch (thrown) {
      const error = asPortalError(thrown, 'CONNECTION_CLOSED');
      // Only an answer of the daemon says that the stream is lost; everything else is one more failed attempt.
      if (error.code !== 'SERVER_ERROR' || error.retryable) throw error;
      const lost = new PortalSDKError(`Stream lost: ${error.message}`, 'STREAM_LOST', { streamId: stream.streamId }, {
        daemonCode: error.daemonCode,
      });
      this.streams.lose(stream.streamId, stream.settled ? undefined : lost);
      return error.daemonCode !== undefined && error.daemonCode !== 'unknown_command';
    }
  }

  /** Asks a daemon that has been silent for anything; without an answer the socket is given up (see the call table). */
  private checkLife(): void {
    if (!this.ready || (this.streams.size === 0 && this.calls.list().length === 0)) return;
    const timeout = Math.min(SIGN_OF_LIFE, this.options.heartbeat ?? SIGN_OF_LIFE);
    this.call('CalculateNextOccurrence', { calendar: 'daily', from: '0' }, { bound: true, timeout }).catch(() => undefined);
  }

  /** Sends what waits; what may have been done already only to a daemon that knows its key. */
  private sendWaiting(resumes: boolean): void {
    for (const call of this.calls.list()) {
      if (call.bound) continue;
      if (!call.sent || call.command.idempotency_key === undefined || resumes) this.transmit(call);
      else {
        const error = new PortalSDKError(
          'Connection lost while waiting, and this daemon cannot tell what became of the call',
          'CONNECTION_CLOSED',
        );
        call.reject(closedError(error, call));
      }
    }
  }

  /** Ends everything that is open, for good. */
  private stop(error: PortalSDKError): void {
    const { link, reconnecting } = this;
    this.cancelGrace?.();
    this.cancelGrace = undefined;
    this.link = undefined;
    this.ready = false;
    this.authenticating = undefined;
    this.reconnecting = undefined;
    reconnecting?.retry.stop();
    this.giveUpOpening();
    link?.close();
    this.calls.rejectAll(error);
    this.streams.loseAll(error);
  }

  // --- frames ---

  private transmit(call: Call): void {
    const { link } = this;
    if (!link) return;
    call.resent = call.sent;
    let text: string;
    try {
      text = encode(call.command);
    } catch (thrown) {
      call.reject(asPortalError(thrown, 'PARSE_ERROR'));
      return;
    }
    call.sent = true;
    call.sentAt = Date.now();
    this.debug('->', call.command.cmd, call.command.id);
    link.send(text);
  }

  private receive(text: string): void {
    let frame: { type?: unknown; id?: unknown; data?: unknown; index?: unknown } & ErrorFrame;
    try {
      frame = JSON.parse(text);
      if (frame === null || typeof frame !== 'object') throw new Error('not an object');
    } catch (thrown) {
      this.events.error(new PortalSDKError('A frame cannot be read', 'PARSE_ERROR', thrown));
      return;
    }
    const id = typeof frame.id === 'number' ? String(frame.id) : frame.id;
    this.debug('<-', frame.type, id);
    if (typeof id !== 'string') {
      if (typeof frame.type === 'string') this.events.notification((frame.data ?? frame) as NotificationData);
      return;
    }
    if (frame.type === 'notification') {
      const data = frame.data as NotificationData | null | undefined;
      if (data && typeof data === 'object') {
        this.streams.deliver(id, data, typeof frame.index === 'number' ? frame.index : undefined);
      }
      return;
    }
    const call = this.calls.get(id);
    if (frame.type === 'success') call?.resolve(frame.data);
    else if (frame.type === 'error') {
      const error = daemonError(frame, call?.command);
      if (!call) {
        if (id === '') this.events.error(error);
        return;
      }
      // A daemon that stops does not answer what it goes on with after its restart.
      const held = error.daemonCode === 'shutting_down' && !call.bound && this.token !== undefined;
      if (!held || this.options.reconnect === false) call.reject(error);
    }
  }

  private async join(done: Promise<void>, limit: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = after(limit, () =>
        reject(
          new PortalSDKError(`Connection timeout after ${limit} ms, still reconnecting`, 'CONNECTION_TIMEOUT', undefined, {
            retryable: true,
          }),
        ),
      );
      done.then(resolve, reject).finally(cancel);
    });
  }

  private debug(...parts: unknown[]): void {
    if (this.options.debug) runtime.console.debug('portal-sdk:', ...parts);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => after(ms, resolve));
}

function notConnected(): PortalSDKError {
  return new PortalSDKError('Not connected: call connect() first', 'NOT_CONNECTED');
}
