/**
 * HOT PATH. The dynamic table of RFC 7541 2.3.2 and 4: newest entry first, oldest evicted when the sizes
 * would exceed the limit. A ring, so that neither insertion nor eviction moves entries.
 */
import { fieldSizeBytes, type HeaderField } from "./header-field.ts";

const FIRST_RING_LENGTH = 16;

export class DynamicTable {
  #ring: (HeaderField | undefined)[] = emptySlots(FIRST_RING_LENGTH);
  /** Where the next entry goes. */
  #head = 0;
  #length = 0;
  #sizeBytes = 0;
  #maxBytes: number;
  readonly #onEvict: ((field: HeaderField) => void) | undefined;

  /** `onEvict` hears of every entry that leaves, oldest first; an encoder keeps its search index with it. */
  constructor(maxBytes: number, onEvict?: (field: HeaderField) => void) {
    this.#maxBytes = maxBytes;
    this.#onEvict = onEvict;
  }

  get length(): number {
    return this.#length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** `position` 0 is the newest entry. */
  at(position: number): HeaderField | undefined {
    if (position < 0 || position >= this.#length) return undefined;
    return this.#ring[(this.#head - 1 - position) & (this.#ring.length - 1)];
  }

  /** Adds a field; one that is larger than the whole table only empties it (RFC 7541 4.4). */
  add(field: HeaderField): void {
    const size = fieldSizeBytes(field);
    if (!this.makeRoom(size)) return;
    if (this.#length === this.#ring.length) this.#grow();
    this.#ring[this.#head] = field;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#length++;
    this.#sizeBytes += size;
  }

  /** Evicts until `size` more bytes fit; false (and an empty table) if they never will. */
  makeRoom(size: number): boolean {
    while (this.#length > 0 && this.#sizeBytes + size > this.#maxBytes) this.#evictOldest();
    return size <= this.#maxBytes;
  }

  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.makeRoom(0);
  }

  #evictOldest(): void {
    const slot = (this.#head - this.#length) & (this.#ring.length - 1);
    const field = this.#ring[slot] as HeaderField;
    this.#ring[slot] = undefined;
    this.#length--;
    this.#sizeBytes -= fieldSizeBytes(field);
    this.#onEvict?.(field);
  }

  #grow(): void {
    const entries = Array.from({ length: this.#length }, (_, i) => this.at(this.#length - 1 - i));
    this.#ring = [...entries, ...emptySlots(entries.length)];
    this.#head = entries.length;
  }
}

function emptySlots(length: number): undefined[] {
  return Array.from({ length }, () => undefined);
}
