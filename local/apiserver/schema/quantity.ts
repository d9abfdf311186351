/** Pure. Resource quantities in the canonical text of the real server: `0.5` is `500m`, `1024Mi` is `1Gi`. */

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: readonly (readonly [suffix: string, exponent: number])[] = [
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
];
const FORM = /^([+-]?)(\d{1,30})?(?:\.(\d{0,30}))?(?:(Ki|Mi|Gi|Ti|Pi|Ei)|([numkMGTPE]?)|[eE]([+-]?\d{1,3}))$/;

/** The canonical form, or undefined when the text is not a quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const match = FORM.exec(text);
  const [, sign, whole = "", fraction = "", binary, suffix = "", exponent] = match ?? [];
  if (whole + fraction === "") return undefined;
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return "0";
  const prefix = sign === "-" ? "-" : "";
  if (binary !== undefined) return prefix + binaryText(digits, fraction.length, BINARY.indexOf(binary));
  const power = exponent === undefined ? exponentOf(suffix) : Number(exponent);
  return prefix + decimalText(digits, power - fraction.length);
}

function exponentOf(suffix: string): number {
  return DECIMAL.find(([name]) => name === suffix)?.[1] ?? 0;
}

/** Largest suffix whose number is whole; finer than nano is rounded up. */
function decimalText(digits: bigint, exponent: number): string {
  let value = digits;
  let power = exponent;
  while (power < -9) {
    value = (value + 9n) / 10n;
    power += 1;
  }
  for (const [suffix, target] of DECIMAL.toReversed()) {
    const scaled = scale(value, power - target);
    if (scaled !== undefined) return `${scaled}${suffix}`;
  }
  return `${value}`;
}

function scale(value: bigint, power: number): bigint | undefined {
  if (power >= 0) return value * 10n ** BigInt(power);
  const divisor = 10n ** BigInt(-power);
  return value % divisor === 0n ? value / divisor : undefined;
}

function binaryText(digits: bigint, decimals: number, step: number): string {
  const divisor = 10n ** BigInt(decimals);
  let bytes = (digits * 1024n ** BigInt(step) + divisor - 1n) / divisor;
  let index = 0;
  while (index < BINARY.length - 1 && bytes % 1024n === 0n) {
    bytes /= 1024n;
    index += 1;
  }
  return `${bytes}${BINARY[index]}`;
}
