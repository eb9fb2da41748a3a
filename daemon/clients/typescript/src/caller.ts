/** How calls become frames, and answers become results and streams; which calls there are, the client says. */
import type { CallSpec } from './calls.js';
import { Connection } from './connection.js';
import { PortalSDKError, asPortalError } from './errors.js';
import { EventHub } from './events.js';
import { CallbackReader, PortalStream, type StreamKind } from './readers.js';
import { StreamTable, type Reader } from './streams.js';
import type { CallOptions, ClientConfig } from './types/config.js';
import { isResponseType, type ResponseData } from './types/wire.js';

/** The parameters of a command. */
export type Params = Record<string, unknown>;
type DataOf<T extends ResponseData['type']> = Extract<ResponseData, { type: T }>;
/** The answers that name a stream. */
type StreamAnswer =
  | 'key_handshake_url'
  | 'single_payment'
  | 'refund_payment'
  | 'listen_closed_recurring_payment'
  | 'listen_lightning_address';

/** What all calls have in common. */
export class Caller {
  protected readonly events = new EventHub();
  protected readonly streams = new StreamTable(
    (data, streamId) => this.events.notification(data, streamId),
    (streamId) => this.attachAgain(streamId),
  );
  protected readonly connection: Connection;

  /** A client that is not connected yet. */
  constructor(config: ClientConfig) {
    this.connection = new Connection(config, this.events, this.streams);
  }

  /** Makes a call and resolves to its answer. */
  protected request<T extends ResponseData['type']>(cmd: string, type: T, params: Params | undefined, options: CallOptions): Promise<DataOf<T>> {
    return this.connection.call(cmd, params, { ...options, take: (data) => expectType(cmd, type, data) }) as Promise<DataOf<T>>;
  }

  /** Makes a call whose answer names a stream, and attaches a reader before any later frame is looked at. */
  protected openStream<T extends StreamAnswer>(
    cmd: string,
    type: T,
    params: Params | undefined,
    options: CallOptions,
    reader: (streamId: string) => Reader,
  ): Promise<DataOf<T>> {
    const spec: CallSpec = {
      ...options,
      take: (answer, call) => {
        const data = expectType(cmd, type, answer);
        const { stream_id: streamId, last_index: lastIndex } = data as { stream_id: string; last_index?: number | null };
        const attached = reader(streamId);
        // A stream that is older than this call begins, for its reader, with what comes now.
        if (typeof lastIndex === 'number') attached.position = lastIndex;
        this.streams.attach(streamId, attached);
        // It may have begun on another socket: what came there is fetched, what came here is known by its index.
        if (call.resent || options.idempotencyKey !== undefined) this.attachAgain(streamId);
        return data;
      },
    };
    this.streams.expect();
    return this.connection.call(cmd, params, spec, () => this.streams.unexpect()) as Promise<DataOf<T>>;
  }

  /** Makes a call whose answer names a stream, and reads that with `for await`. */
  protected async openIterator<T>(
    cmd: string,
    type: StreamAnswer,
    params: Params | undefined,
    options: CallOptions,
    kind: StreamKind<T>,
  ): Promise<PortalStream<T>> {
    let stream!: PortalStream<T>;
    await this.openStream(cmd, type, params, options, (streamId) => {
      stream = this.iterator(streamId, kind);
      return stream;
    });
    return stream;
  }

  /** Reads a stream that was opened before, from behind the index `after` or from its beginning. */
  protected readAgain<T>(streamId: string, kind: StreamKind<T>, after: number | undefined): PortalStream<T> {
    const stream = this.iterator(streamId, kind);
    stream.position = after;
    stream.held = true;
    this.streams.attach(streamId, stream);
    const agreed = (): void => {
      stream.held = false;
    };
    this.connection.resume(streamId, {}, agreed).catch((thrown: unknown) => {
      const error = asPortalError(thrown, 'STREAM_LOST');
      stream.end(error.code === 'SERVER_ERROR' ? lostStream(streamId, error) : error);
      this.streams.detach(streamId, stream);
    });
    return stream;
  }

  private attachAgain(streamId: string): void {
    this.connection.resume(streamId).catch((thrown: unknown) => {
      const error = asPortalError(thrown, 'STREAM_LOST');
      // An older daemon cannot resume, but goes on with the stream; and the end of the connection ends or resumes it.
      if (error.daemonCode === 'stream_not_found') this.streams.lose(streamId, lostStream(streamId, error));
    });
  }

  /** A reader for `for await`. */
  protected iterator<T>(streamId: string, kind: StreamKind<T>): PortalStream<T> {
    return new PortalStream(streamId, kind, (stream) => this.streams.detach(streamId, stream));
  }

  /** A reader into a callback of the application. */
  protected callbackReader<T>(kind: StreamKind<T>, callback: ((value: T) => void) | undefined): CallbackReader<T> {
    return new CallbackReader(
      kind,
      (value) => this.events.guard(() => callback?.(value)),
      (error) => {
        // The end of the whole connection is told once, not for every stream.
        if (error.code === 'STREAM_LOST' || error.code === 'SERVER_ERROR') this.events.error(error);
      },
    );
  }
}

function expectType<T extends ResponseData['type']>(cmd: string, type: T, data: unknown): DataOf<T> {
  if (isResponseType(data, type)) return data;
  throw new PortalSDKError(`Unexpected answer to ${cmd}`, 'UNEXPECTED_RESPONSE', data);
}

function lostStream(streamId: string, cause: PortalSDKError): PortalSDKError {
  return new PortalSDKError(`Stream lost: ${cause.message}`, 'STREAM_LOST', { streamId }, { daemonCode: cause.daemonCode });
}
