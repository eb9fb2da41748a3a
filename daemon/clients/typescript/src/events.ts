/** Callbacks and listeners that belong to the client as a whole. */
import { PortalSDKError, asPortalError } from './errors.js';
import { runtime } from './runtime.js';
import type { EventCallbacks, NotificationListener } from './types/config.js';
import type { NotificationData } from './types/wire.js';

/** Hands events to whoever asked for them; a callback that throws harms nobody else. */
export class EventHub {
  private callbacks: EventCallbacks = {};
  private readonly listeners = new Map<string, Set<NotificationListener>>();

  /** Adds to the callbacks; one that is set already is replaced. */
  setCallbacks(callbacks: EventCallbacks): void {
    this.callbacks = { ...this.callbacks, ...callbacks };
  }

  on(type: string, listener: NotificationListener): void {
    const set = this.listeners.get(type) ?? new Set();
    this.listeners.set(type, set.add(listener));
  }

  off(type: string, listener: NotificationListener): void {
    const set = this.listeners.get(type);
    if (set?.delete(listener) && set.size === 0) this.listeners.delete(type);
  }

  connected(): void {
    this.guard(() => this.callbacks.onConnected?.());
  }

  disconnected(): void {
    this.guard(() => this.callbacks.onDisconnected?.());
  }

  /** Reports what no promise can tell. */
  error(error: PortalSDKError): void {
    try {
      this.callbacks.onError?.(error);
    } catch (thrown) {
      runtime.console.error('portal-sdk: onError threw', thrown);
    }
  }

  /** Tells everybody who listens to this type, or to all. */
  notification(data: NotificationData, streamId?: string): void {
    if (data.type === 'key_handshake') {
      this.guard(() => this.callbacks.onKeyHandshake?.(data.main_key, data.preferred_relays));
    }
    for (const type of [data.type, 'all']) {
      for (const listener of [...(this.listeners.get(type) ?? [])]) this.guard(() => listener(data, streamId));
    }
  }

  /** Runs a callback of the application; whatever it throws, now or later, is reported. */
  guard(callback: () => unknown): void {
    try {
      const result = callback();
      if (result instanceof Promise) result.catch((thrown: unknown) => this.callbackFailed(thrown));
    } catch (thrown) {
      this.callbackFailed(thrown);
    }
  }

  private callbackFailed(thrown: unknown): void {
    if (!this.callbacks.onError) runtime.console.error('portal-sdk: a callback failed', thrown);
    // A callback that failed because of the SDK keeps its code.
    this.error(asPortalError(thrown, 'CALLBACK_FAILED'));
  }
}
