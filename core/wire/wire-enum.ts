/** Pure. Enums between the wire's numbers and the model's words. */
import { WireError } from "./proto-reader.ts";

export interface WireEnum<T extends string> {
  encode(value: T): number;
  /** Throws WireError on a number without a word: acting on a guess could be unsafe. */
  decode(number: number): T;
  /** For enums whose unknown values are harmless. */
  decodeOr(number: number, fallback: T): T;
}

/** `values` in wire order; an undefined hole is a number that is known but not accepted. */
export function wireEnum<T extends string>(field: string, values: readonly (T | undefined)[]): WireEnum<T> {
  return {
    encode: (value) => {
      const number = values.indexOf(value);
      if (number < 0) throw new Error(`${field} has no wire value for "${value}"`);
      return number;
    },
    decode: (number) => {
      const value = values[number];
      if (value === undefined) throw new WireError(field, `has the unsupported value ${number}`);
      return value;
    },
    decodeOr: (number, fallback) => values[number] ?? fallback,
  };
}
