/**
 * The calls that wait for their answers.
 *
 * It keeps each call until it is answered, times out or is given up; when to send is the connection's affair.
 */
import { PortalSDKError } from './errors.js';
import type { CallOptions } from './types/config.js';
import type { Command } from './types/wire.js';
import { after, randomId, randomUuid } from './runtime.js';

/** Reading twice does no harm: these go without a key and are simply sent again. */
const READS = new Set([
  'Auth',
  'ResumeStream',
  'FetchProfile',
  'FetchNip05Profile',
  'GetWalletInfo',
  'IssueJwt',
  'VerifyJwt',
  'CalculateNextOccurrence',
  'ReadPaymentInstruction',
  'LookupPayment',
  'GetSubscription',
  'ListSubscriptions',
  'GetCashuWallet',
  'ListTicketEvents',
]);

/** These wait for a person, a wallet or a mint; the daemon bounds most of them at 300 s. */
const WAITS = new Set([
  'AuthenticateKey',
  'RequestRecurringPayment',
  'RequestInvoice',
  'RequestCashu',
  'PayInvoice',
  'PayInstruction',
  'WithdrawLnurl',
  'MintCashu',
  'BurnCashu',
  'TakeBackCashu',
]);

/** A call that waits for its answer. */
export interface Call {
  readonly command: Command;
  /** Belongs to one socket (log-in, resuming): ends with it. */
  readonly bound: boolean;
  /** Was sent at least once. */
  sent: boolean;
  /** When it was sent last. */
  sentAt: number;
  /** The daemon answers it by itself, so silence means that the socket is dead. */
  readonly prompt: boolean;
  /** Was sent on more than one socket. */
  resent: boolean;
  resolve(data: unknown): void;
  reject(error: PortalSDKError): void;
}

/** How a call is to be made. */
export interface CallSpec extends CallOptions {
  bound?: boolean;
  /** Turns the data into the result at once, before any later frame is looked at. */
  take?: (data: unknown, call: Call) => unknown;
}

/** All calls that wait for their answers, in the order in which they were made. */
export class CallTable {
  private readonly calls = new Map<string, Call>();

  /** `timedOut` hears of calls that nobody answered. */
  constructor(
    private readonly limits: { requestTimeout: number; waitTimeout: number },
    private readonly timedOut: (call: Call) => void,
  ) {}

  /** Adds a call; `done` runs when it has ended in whatever way. */
  add(cmd: string, params: Record<string, unknown> | undefined, spec: CallSpec, done: () => void): [Call, Promise<unknown>] {
    const command: Command = { id: randomId(), cmd };
    if (params && Object.keys(params).length > 0) command.params = params;
    if (spec.idempotencyKey !== undefined) command.idempotency_key = spec.idempotencyKey;
    else if (!READS.has(cmd)) command.idempotency_key = randomUuid();

    let call!: Call;
    const promise = new Promise<unknown>((resolve, reject) => {
      const limit = spec.timeout ?? (WAITS.has(cmd) ? this.limits.waitTimeout : this.limits.requestTimeout);
      const finish = (): boolean => {
        if (!this.calls.delete(command.id)) return false;
        cancel();
        done();
        return true;
      };
      call = {
        command,
        bound: spec.bound ?? false,
        sent: false,
        sentAt: 0,
        prompt: !WAITS.has(cmd),
        resent: false,
        resolve: (data) => {
          if (!this.calls.has(command.id)) return;
          let result = data;
          try {
            if (spec.take) result = spec.take(data, call);
          } catch (error) {
            if (finish()) reject(error);
            return;
          }
          if (finish()) resolve(result);
        },
        reject: (error) => {
          if (finish()) reject(error);
        },
      };
      const cancel = after(limit, () => {
        call.reject(
          new PortalSDKError(`${cmd}: timeout, no answer within ${limit} ms`, 'REQUEST_TIMEOUT', describe(command), {
            // What may have been done already is only safe to repeat with the same key.
            retryable: command.idempotency_key === undefined || !call.sent,
            idempotencyKey: command.idempotency_key,
          }),
        );
        this.timedOut(call);
      });
    });
    this.calls.set(command.id, call);
    return [call, promise];
  }

  get(id: string): Call | undefined {
    return this.calls.get(id);
  }

  /** The calls as they are now; safe to settle while looping. */
  list(): Call[] {
    return [...this.calls.values()];
  }

  /** Ends the calls that belonged to the socket that is gone. */
  rejectBound(error: PortalSDKError): void {
    for (const call of this.list()) if (call.bound) call.reject(error);
  }

  /** Ends all calls. */
  rejectAll(error: PortalSDKError): void {
    for (const call of this.list()) call.reject(closedError(error, call));
  }
}

/** The frame of a command. */
export function encode(command: Command): string {
  return JSON.stringify(command, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** The connection's error, with what one needs to know to repeat this call. */
export function closedError(error: PortalSDKError, call: Call): PortalSDKError {
  return new PortalSDKError(error.message, error.code, describe(call.command), {
    daemonCode: error.daemonCode,
    retryable: error.code !== 'AUTH_FAILED' && (!call.sent || call.command.idempotency_key === undefined),
    idempotencyKey: call.command.idempotency_key,
  });
}

function describe(command: Command): { cmd: string; idempotencyKey?: string } {
  return { cmd: command.cmd, idempotencyKey: command.idempotency_key };
}
