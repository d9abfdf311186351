/** Pure. Addresses that are in two lists of blocks at once. Two blocks are disjoint, or one holds the other. */
import { type Cidr, cidrContains, formatCidr } from "./cidr.ts";

/** Each block once; empty when no address is in both. */
export function intersectBlocks(a: readonly Cidr[], b: readonly Cidr[]): readonly Cidr[] {
  const both = new Map<string, Cidr>();
  for (const one of a) {
    for (const other of b) {
      const inner = narrowerIfInside(one, other);
      if (inner !== undefined) both.set(formatCidr(inner), inner);
    }
  }
  return [...both.values()];
}

function narrowerIfInside(a: Cidr, b: Cidr): Cidr | undefined {
  const [outer, inner] = a.prefixLength <= b.prefixLength ? [a, b] : [b, a];
  return cidrContains(outer, inner.address) ? inner : undefined;
}
