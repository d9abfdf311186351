/** What replicas tell each other: the same when read again, refused when it is anything else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatReport, NO_REPORT, parseReport, type ReplicaReport, TOO_MUCH } from "./replica-report.ts";

const TEXT = "0123456789abcdef0123456789abcdef";

const good: ReplicaReport = {
  view: ["controller-a_0a", "controller-b_0b"],
  proxies: [
    { podUid: "uid-1", pod: "istio-system/ztunnel-1", node: "node-1", waypoint: undefined, hasLeft: true },
    { podUid: "uid-2", pod: "shop/w-1", node: "node-2", waypoint: "shop/ambit-waypoint", hasLeft: false },
  ],
  gateways: new Map([["shop/ambit-waypoint", { text: TEXT, behind: new Set(["uid-2"]) }]]),
  refused: [{ name: "shop/items", version: "1f", reason: "cannot be read: \u2028 \u{1f600}" }],
};

function written(change: (raw: Record<string, unknown>) => void): string {
  const raw = JSON.parse(formatReport(good) ?? "") as Record<string, unknown>;
  change(raw);
  return JSON.stringify(raw);
}

const REFUSED: readonly (readonly [string, string])[] = [
  ["", "nothing"],
  ["{", "no JSON"],
  ["null", "no object"],
  [TOO_MUCH, "more than fits"],
  [`${formatReport(good) ?? ""}${" ".repeat(200_000)}`, "too long"],
  [written((raw) => (raw["form"] = 2)), "another form"],
  [written((raw) => (raw["more"] = 1)), "another field"],
  [written((raw) => delete raw["refused"]), "a field less"],
  [written((raw) => (raw["proxies"] = {})), "no list"],
  [written((raw) => (raw["proxies"] = [["uid-1", "a/b", "n", ""]])), "a proxy without its fifth"],
  [written((raw) => (raw["proxies"] = [["uid-1", "a/b", "n", 5, 0]])), "a number for a waypoint"],
  [written((raw) => (raw["proxies"] = [["uid-1", "ab", "n", "", 0]])), "no namespace"],
  [
    written((raw) => (raw["proxies"] = Array.from({ length: 2 }, () => ["u", "a/b", "n", "", 0]))),
    "one twice",
  ],
  [
    written(
      (raw) => (raw["proxies"] = Array.from({ length: 4_097 }, (_, i) => [`u${i}`, "a/b", "n", "", 0])),
    ),
    "too many",
  ],
  [written((raw) => (raw["proxies"] = [["uid-1", "a/b", "n", "", 2]])), "neither here nor gone"],
  [written((raw) => (raw["gateways"] = [["shop/w", TEXT, 2]])), "a proxy that is not there"],
  [written((raw) => (raw["gateways"] = [["shop/w", TEXT, "0"]])), "an index that is text"],
  [written((raw) => (raw["gateways"] = [["shop/w", TEXT, -1]])), "a negative index"],
  [written((raw) => (raw["gateways"] = [["shop/w", "x"]])), "another text"],
  [
    written(
      (raw) =>
        (raw["gateways"] = [
          ["shop/w", TEXT],
          ["shop/w", TEXT],
        ]),
    ),
    "a gateway twice",
  ],
  [written((raw) => (raw["view"] = "a")), "no list of processes"],
  [written((raw) => (raw["view"] = ["a b"])), "no name of a process"],
  [written((raw) => (raw["view"] = Array.from({ length: 65 }, () => "a"))), "many processes"],
  [written((raw) => (raw["refused"] = [["a", "b", ""]])), "a refusal without reason"],
  [written((raw) => (raw["refused"] = [["a", "b", 5]])), "a number for a reason"],
  [written((raw) => (raw["refused"] = [["a", "b", "r".repeat(257)]])), "a reason without end"],
  [written((raw) => (raw["refused"] = Array.from({ length: 21 }, () => ["a", "b", "c"]))), "many refusals"],
];

for (const [text, what] of REFUSED)
  test(`refused: ${what}`, () => {
    assert.equal(parseReport(text).ok, false);
  });

test("read again it is the same, and equal reports are equal text, in whatever order they were put together", () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,12}$/);
  const proxy = fc.record({
    podUid: fc.stringMatching(/^[a-f0-9]{8}$/),
    pod: fc.tuple(name, name).map((pair) => pair.join("/")),
    node: name,
    waypoint: fc.option(fc.constant("shop/ambit-waypoint"), { nil: undefined }),
    hasLeft: fc.boolean(),
  });
  const proxies = fc.uniqueArray(proxy, { maxLength: 8, selector: ({ podUid }) => podUid });
  const reports = proxies.chain((list) =>
    fc.record({
      proxies: fc.constant(list),
      gateways: fc
        .dictionary(
          fc.tuple(name, name).map((pair) => pair.join("/")),
          fc.record({
            text: fc.stringMatching(/^[0-9a-f]{32}$/),
            behind: fc.subarray(list.map(({ podUid }) => podUid)).map((uids) => new Set(uids)),
          }),
          { maxKeys: 4 },
        )
        .map((entries) => new Map(Object.entries(entries).map(([key, one]) => [key, { ...one }]))),
      refused: fc.constant(good.refused),
      view: fc.constant(good.view),
    }),
  );
  fc.assert(
    fc.property(reports, (report) => {
      const text = formatReport(report);
      assert.ok(text !== undefined);
      const read = parseReport(text);
      assert.ok(read.ok);
      assert.deepEqual(
        new Set(read.value.proxies.map((one) => JSON.stringify(one))),
        new Set(report.proxies.map((one) => JSON.stringify(one))),
      );
      assert.deepEqual(new Map(read.value.gateways), report.gateways);
      assert.deepEqual(read.value.refused, report.refused);
      const turned = {
        ...report,
        proxies: report.proxies.toReversed(),
        gateways: new Map([...report.gateways].toReversed()),
      };
      assert.equal(formatReport(turned), text);
    }),
    { numRuns: 2_000 },
  );
});

test("arbitrary text is read or refused, never thrown at", () => {
  const base = formatReport(good) ?? "";
  const damaged = fc
    .tuple(fc.nat(base.length - 1), fc.string({ maxLength: 3 }))
    .map(([at, text]) => base.slice(0, at) + text + base.slice(at + 1));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), damaged), (text) => {
      const read = parseReport(text);
      if (read.ok) assert.ok(formatReport(read.value) !== undefined);
    }),
    { numRuns: 5_000 },
  );
});

test("what does not fit is not cut off: it is said to be too much, which nobody can read", () => {
  const proxies = Array.from({ length: 4_097 }, (_, i) => ({
    podUid: `uid-${i}`,
    pod: "istio-system/z",
    node: "n",
    waypoint: undefined,
    hasLeft: false,
  }));
  assert.equal(formatReport({ ...NO_REPORT, proxies }), undefined);
  const long = proxies.slice(0, 1_000).map((one) => ({ ...one, node: "n".repeat(250) }));
  assert.equal(formatReport({ ...NO_REPORT, proxies: long }), undefined);
  assert.ok(formatReport({ ...NO_REPORT, proxies: proxies.slice(0, 2_000) }) !== undefined);
});
