import assert from "node:assert/strict";
import test from "node:test";
import { isAuthority, sameAuthority } from "./authority.ts";

const GOOD = [
  "x",
  "shop.test",
  "SHOP.test.",
  "shop.test:8080",
  "a_b.c-d",
  "10.0.0.7:80",
  "[::1]",
  "[2001:db8::1]:8080",
  "[::ffff:10.0.0.1]:65535",
  `${"a".repeat(63)}.${"b".repeat(63)}`,
];
const BAD = [
  "",
  " ",
  "a b",
  "a,b",
  "a@b",
  "a/b",
  "a?b",
  "a#b",
  "a\\b",
  "a%41",
  "*",
  "<a>",
  ".",
  ".a",
  "a..b",
  "a..",
  "a:",
  "a:0",
  "a:080",
  "[::1]:080",
  "a:65536",
  "a:99999",
  "a:x",
  "a:80:90",
  "::1",
  "[::1",
  "[::1]x",
  "[::1]:",
  "[::1]:0",
  "[fe80::1%eth0]",
  "[10.0.0.1]",
  "[]",
  "caf\u00e9.test",
  "a\u0000b",
  "a".repeat(255),
];

for (const text of GOOD) test(`is an authority: ${text}`, () => assert.ok(isAuthority(text)));
for (const text of BAD) test(`is none: ${JSON.stringify(text)}`, () => assert.ok(!isAuthority(text)));

test("case and the default port say nothing, anything else does", () => {
  assert.ok(sameAuthority("Shop.test:80", "shop.TEST"));
  assert.ok(!sameAuthority("shop.test:8080", "shop.test"));
  assert.ok(!sameAuthority("shop.test.", "shop.test"));
});
