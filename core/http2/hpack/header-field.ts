/**
 * Pure. One HTTP field. Octets are carried as latin1 strings: one character is one byte.
 * Decoders hand out the very objects of their tables, so a field is immutable for ever.
 */

export interface HeaderField {
  readonly name: string;
  readonly value: string;
  /** Travels as a never-indexed literal on every hop (RFC 7541 7.1.3): no table ever holds it. */
  readonly sensitive: boolean;
}

/** A field on its way out. */
export interface FieldToSend {
  readonly name: string;
  readonly value: string;
  readonly sensitive?: boolean;
}

/** RFC 7541 4.1: what a field adds to the size of a table, and to a header list (RFC 9113 6.5.2). */
export const FIELD_OVERHEAD_BYTES = 32;

export function headerField(name: string, value: string, sensitive = false): HeaderField {
  return { name, value, sensitive };
}

/** Size in bytes by RFC 7541 4.1. */
export function fieldSizeBytes(field: FieldToSend): number {
  return field.name.length + field.value.length + FIELD_OVERHEAD_BYTES;
}

/** The first value of `name` (lower case), or undefined. */
export function firstValue(fields: readonly HeaderField[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}
