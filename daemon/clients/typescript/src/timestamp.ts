/** Moments in whole seconds of Unix time, as the wire wants them. */

/** A moment in whole seconds since 1970. On the wire it is a decimal string. */
export class Timestamp {
  private readonly seconds: bigint;

  /** From seconds since 1970; fractions are cut off. */
  constructor(seconds: bigint | number) {
    this.seconds = typeof seconds === 'bigint' ? seconds : BigInt(Math.floor(seconds));
  }

  /** The second in which `date` lies. */
  static fromDate(date: Date): Timestamp {
    return new Timestamp(Math.floor(date.getTime() / 1000));
  }

  /** So many seconds from now; negative for the past. */
  static fromNow(seconds: number): Timestamp {
    return new Timestamp(Math.floor(Date.now() / 1000) + Math.floor(seconds));
  }

  toDate(): Date {
    return new Date(Number(this.seconds) * 1000);
  }

  /** The decimal string that goes over the wire. */
  toJSON(): string {
    return this.seconds.toString();
  }

  toString(): string {
    return this.seconds.toString();
  }

  valueOf(): bigint {
    return this.seconds;
  }
}

/** An answer or event whose moments, seconds on the wire, are `Timestamp`s; whatever else there is stays as it came. */
export function stamped<T>(data: object, ...members: string[]): T {
  const result: Record<string, unknown> = { ...data };
  for (const member of members) {
    const seconds = result[member];
    if (/^\d+$/.test(String(seconds))) result[member] = new Timestamp(BigInt(seconds as string));
  }
  return result as T;
}
