/** Forbidden requests, again and again while something changes: none of them may reach the application, seen from its own log. */
import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import { type ArrivalWatch, asked, type L7Shop } from "./l7-shop.ts";

/** Path of a forbidden request; `n` tells who asked. */
export const forbidden = (n: number): string => `${FORBIDDEN}${n}`;
const FORBIDDEN = "/items/666";

/** Every kind of caller that an enforced policy about the catalog's requests keeps out. */
export const everybodyForbidden = (shop: L7Shop): readonly (() => Promise<unknown>)[] => {
  const host = shop.catalog.ipv4;
  return [
    () => asked(shop.intruder, forbidden(1), { host }),
    () => asked(shop.frontend, forbidden(2), { method: "POST" }),
    () => asked(shop.frontend, forbidden(3), { method: "POST", host }),
    ...visitors(shop),
  ];
};

/** Those that the older L4 policy keeps out all the time, with a waypoint, without one, and in between. */
export const visitors = (shop: L7Shop): readonly (() => Promise<unknown>)[] => [
  () => asked(shop.visitor, forbidden(4), { host: shop.catalog.ipv4 }),
  () => asked(shop.visitor, forbidden(5), { host: shop.catalog.ipv6 }),
  () => asked(shop.visitor, forbidden(6)),
];

export async function underAttack(
  { shop, arrivals }: { readonly shop: L7Shop; readonly arrivals: ArrivalWatch },
  attackers: readonly (() => Promise<unknown>)[],
  change: () => Promise<unknown>,
): Promise<void> {
  arrivals.begin();
  const over = new AbortController();
  const again = async (one: () => Promise<unknown>): Promise<number> => {
    let tried = 0;
    for (; !over.signal.aborted; tried++) await one();
    return tried;
  };
  const attacks = Promise.all(attackers.map(again));
  try {
    await change();
  } finally {
    over.abort();
    await attacks;
  }
  const tried = (await attacks).reduce((sum, n) => sum + n, 0);
  assert.ok(tried > 10, `only ${tried} tries`);
  assert.equal((await asked(shop.frontend, "/items/7700")).status, 200);
  const seen = await eventually("what is allowed arrives", () => {
    const all = arrivals.since();
    return all.some(({ path }) => path === "/items/7700") ? all : undefined;
  });
  const wrong = seen.filter(({ path }) => path.startsWith(FORBIDDEN));
  assert.deepEqual(wrong.slice(0, 3), [], `${wrong.length} of ${tried} forbidden requests arrived`);
}
