/**
 * HOT PATH, pure (time is passed in). Windows that we grant to peers (RFC 9113 5.2).
 * Every stream owns a floor that is always credited, so that the budget can never dead-lock; only growth above the
 * floor draws on the budget. A window doubles while the application takes half of it within a second, and shrinks
 * again, by withheld credit, when it no longer does.
 */

export const CONNECTION_WINDOW: number = 16 * 1024 * 1024;
export const MAX_STREAM_WINDOW: number = 4 * 1024 * 1024;
export const STREAM_FLOOR: number = 256 * 1024;
/** Floor of new connections once floors fill half of the budget. */
export const SMALL_STREAM_FLOOR: number = 64 * 1024;
const GROW_WITHIN_MS = 1_000;
const SHRINK_AFTER_MS = 5_000;

/** What all connections of a process may keep waiting for slow applications. */
export class ReceiveBudget {
  readonly totalBytes: number;
  #floors = 0;
  #growth = 0;

  constructor(totalBytes: number = 256 * 1024 * 1024) {
    this.totalBytes = totalBytes;
  }

  get usedBytes(): number {
    return this.#floors + this.#growth;
  }

  /** The floor that a new connection should announce as its initial window. */
  chooseFloor(): number {
    return this.#floors > this.totalBytes / 2 ? SMALL_STREAM_FLOOR : STREAM_FLOOR;
  }

  takeFloor(bytes: number): void {
    this.#floors += bytes;
  }

  returnFloor(bytes: number): void {
    this.#floors -= bytes;
  }

  takeGrowth(bytes: number): boolean {
    if (this.usedBytes + bytes > this.totalBytes) return false;
    this.#growth += bytes;
    return true;
  }

  returnGrowth(bytes: number): void {
    this.#growth -= bytes;
  }

  /** Whether growth should be given back where it is no longer earned. */
  get isTight(): boolean {
    return this.usedBytes > this.totalBytes / 2;
  }
}

/** What one stream may send us. */
export class ReceiveWindow {
  readonly #budget: ReceiveBudget;
  readonly #floor: number;
  #size: number;
  /** What the peer may still send. */
  #available: number;
  #unacknowledged = 0;
  #creditedMs: number;
  #closed = false;

  constructor(budget: ReceiveBudget, floor: number, nowMs: number) {
    this.#budget = budget;
    this.#floor = floor;
    this.#size = floor;
    this.#available = floor;
    this.#creditedMs = nowMs;
    budget.takeFloor(floor);
  }

  get size(): number {
    return this.#size;
  }

  /** False: the peer sent more than it was allowed. */
  onReceived(bytes: number): boolean {
    this.#available -= bytes;
    return this.#available >= 0;
  }

  /** Whether `onConsumed` would give credit: saves the clock reading. */
  isCreditDue(bytes: number): boolean {
    return this.#unacknowledged + bytes >= this.#size / 2;
  }

  /** The application took `bytes`. Returns the increment to announce, or 0 for not yet. */
  onConsumed(bytes: number, nowMs: number): number {
    this.#unacknowledged += bytes;
    if (this.#closed || this.#unacknowledged < this.#size / 2) return 0;
    const elapsedMs = nowMs - this.#creditedMs;
    this.#creditedMs = nowMs;
    const credit = this.#unacknowledged + this.#resize(elapsedMs);
    this.#unacknowledged = 0;
    this.#available += credit;
    return credit;
  }

  /** Returns everything to the budget. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.returnFloor(this.#floor);
    this.#budget.returnGrowth(this.#size - this.#floor);
  }

  /** Change of the window's size: positive is extra credit, negative is credit withheld. */
  #resize(elapsedMs: number): number {
    if (elapsedMs <= GROW_WITHIN_MS) {
      const growth = Math.min(this.#size, MAX_STREAM_WINDOW - this.#size);
      if (growth <= 0 || !this.#budget.takeGrowth(growth)) return 0;
      this.#size += growth;
      return growth;
    }
    if (elapsedMs < SHRINK_AFTER_MS || !this.#budget.isTight) return 0;
    const shrink = Math.min(this.#size / 2, this.#size - this.#floor, this.#unacknowledged);
    this.#size -= shrink;
    this.#budget.returnGrowth(shrink);
    return -shrink;
  }
}
