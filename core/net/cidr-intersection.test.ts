import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { arbitraryCidr, arbitraryIp } from "../testing/arbitraries.ts";
import { type Cidr, cidrContains, formatCidr, parseCidr } from "./cidr.ts";
import { intersectBlocks } from "./cidr-intersection.ts";

function blocks(text: string): readonly Cidr[] {
  return text.split(" ").map((part) => {
    const block = parseCidr(part);
    assert.ok(block.ok);
    return block.value;
  });
}

test("the narrower of two blocks, once; families never meet", () => {
  const both = intersectBlocks(
    blocks("10.0.0.0/8 10.1.0.0/16 192.168.0.0/16 ::/0"),
    blocks("10.1.2.0/24 0.0.0.0/0 fd00::/8"),
  );
  assert.deepEqual(both.map(formatCidr).toSorted(), [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "192.168.0.0/16",
    "fd00::/8",
  ]);
  assert.deepEqual(intersectBlocks(blocks("10.0.0.0/8"), blocks("11.0.0.0/8 ::/0")), []);
});

test("an address is in the intersection exactly when it is in both lists", () => {
  const list = fc.array(arbitraryCidr, { minLength: 1, maxLength: 8 });
  const seen = { inside: 0, outside: 0 };
  fc.assert(
    fc.property(list, list, arbitraryIp, (a, b, address) => {
      const within = (blocksOf: readonly Cidr[]): boolean =>
        blocksOf.some((block) => cidrContains(block, address));
      const expected = within(a) && within(b);
      seen[expected ? "inside" : "outside"]++;
      assert.equal(within(intersectBlocks(a, b)), expected);
    }),
    { numRuns: 2000 },
  );
  assert.ok(seen.inside > 50 && seen.outside > 50, JSON.stringify(seen));
});
