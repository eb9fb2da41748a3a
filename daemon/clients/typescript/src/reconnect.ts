/** When to try again: jittered back-off that can be stopped. */
import { after } from './runtime.js';
import type { ReconnectOptions } from './types/config.js';

/** Waits that grow from attempt to attempt, each drawn from the upper half of its range. */
export class Backoff {
  private attempt = 0;
  private readonly min: number;
  private readonly max: number;

  constructor(options: ReconnectOptions, private readonly random: () => number = Math.random) {
    this.min = Math.max(1, options.minDelay ?? 250);
    this.max = Math.max(this.min, options.maxDelay ?? 10_000);
  }

  /** The next wait in milliseconds. */
  next(): number {
    const ceiling = Math.min(this.max, this.min * 2 ** Math.min(this.attempt, 30));
    this.attempt += 1;
    return ceiling * (0.5 + this.random() / 2);
  }
}

/** One series of attempts. */
export class Retry {
  private stopped = false;
  private wake: () => void = () => undefined;

  /**
   * Runs `attempt` until it returns true, with waits in between; resolves to whether it did.
   * It returns false for "not yet" and throws to give up.
   */
  async run(backoff: Backoff, attempt: () => Promise<boolean>): Promise<boolean> {
    while (!this.stopped) {
      await this.sleep(backoff.next());
      if (this.stopped) break;
      if (await attempt()) return true;
    }
    return false;
  }

  /** Ends the series; an attempt that is under way is ended by its owner. */
  stop(): void {
    this.stopped = true;
    this.wake();
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = after(ms, resolve);
      this.wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
