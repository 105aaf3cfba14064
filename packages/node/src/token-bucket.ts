/** A rate with some room for bursts: tokens come steadily, and wait up to a bound. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #capacity: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, capacity: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#capacity = Math.max(1, capacity);
    this.#tokens = this.#capacity;
    this.#atMs = nowMs;
  }

  /** Takes `count` if there is at least one token; else the seconds until there is. */
  take(count: number, nowMs: number): number | undefined {
    this.#refill(nowMs);
    if (this.#tokens < 1) return Math.max(1, Math.ceil((1 - this.#tokens) / this.#perSecond));
    this.#tokens -= count;
    return undefined;
  }

  /** Takes what was used already: the bucket may owe. */
  charge(count: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens -= count;
  }

  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#tokens >= this.#capacity;
  }

  #refill(nowMs: number): void {
    const seconds = Math.max(0, nowMs - this.#atMs) / 1000;
    this.#tokens = Math.min(this.#capacity, this.#tokens + seconds * this.#perSecond);
    this.#atMs = nowMs;
  }
}
