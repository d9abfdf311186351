/** HOT PATH. How many there are of something, and how many of them are of one owner: at most half, so that nobody keeps the others out. */
const SHARE = 0.5;

export class FairShare<Owner> {
  readonly #max: number;
  readonly #byOwner = new Map<Owner, number>();
  #total = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** For how many more of `owner`. Below zero: there are too many already. */
  roomFor(owner: Owner): number {
    const own = this.#byOwner.get(owner) ?? 0;
    return Math.min(this.#max - this.#total, this.#max * SHARE - own);
  }

  add(owner: Owner): void {
    this.#total++;
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? 0) + 1);
  }

  remove(owner: Owner): void {
    this.#total--;
    const left = (this.#byOwner.get(owner) ?? 1) - 1;
    if (left === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, left);
  }
}
