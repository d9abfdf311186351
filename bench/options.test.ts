import assert from "node:assert/strict";
import { test } from "node:test";
import { describeProblems } from "#core/base/parse-result.ts";
import { chosen, parseBenchOptions } from "./options.ts";

const REFUSED: readonly { readonly name: string; readonly argv: readonly string[]; readonly says: RegExp }[] =
  [
    { name: "an unknown flag", argv: ["--fast"], says: /--fast/ },
    { name: "an unknown benchmark", argv: ["l9"], says: /unknown benchmark "l9"/ },
    { name: "no rounds", argv: ["--rounds", "0"], says: /--rounds: must be a whole number/ },
    { name: "half a round", argv: ["--rounds", "1.5"], says: /--rounds/ },
    { name: "rounds that are no number", argv: ["--rounds", "many"], says: /--rounds/ },
    { name: "endless seconds", argv: ["--seconds", "1e9"], says: /--seconds/ },
    { name: "an empty number", argv: ["--seconds", " "], says: /--seconds/ },
    { name: "an unknown name", argv: ["--only", "haproxy,warp"], says: /knows no "warp"/ },
    { name: "an unknown topology", argv: ["--topology", "ring"], says: /--topology: must be one of/ },
    { name: "half a pair", argv: ["--peer-a", "/bin/true"], says: /belong together/ },
  ];

for (const { name, argv, says } of REFUSED) {
  test(`${name} is refused`, () => {
    const result = parseBenchOptions(argv);
    assert.ok(!result.ok);
    assert.match(describeProblems(result.problems), says);
  });
}

test("every problem is reported at once", () => {
  const result = parseBenchOptions(["--rounds", "x", "--seconds", "y", "--only", "z"]);
  assert.equal(result.ok ? 0 : result.problems.length, 3);
});

test("defaults, and every flag", () => {
  const none = parseBenchOptions([]);
  assert.ok(none.ok);
  assert.equal(none.value.rounds, 5);
  assert.deepEqual(none.value.only, []);
  const argv = ["l4", "--rounds=2", "--seconds=0.5", "--only=ambit,bulk-8", "--json=j", "--markdown=m"];
  const all = parseBenchOptions([
    ...argv,
    "--peer-a=/a",
    "--peer-b=/b",
    "--congestion=reno",
    "--topology=both",
    "--profile=p",
  ]);
  assert.ok(all.ok);
  assert.deepEqual(all.value, {
    help: false,
    benchmark: "l4",
    topology: "both",
    rounds: 2,
    seconds: 0.5,
    only: ["ambit", "bulk-8"],
    peerA: "/a",
    peerB: "/b",
    jsonPath: "j",
    markdownPath: "m",
    congestionControl: "reno",
    profilePath: "p",
  });
});

test("a kind of which nothing is named is run in full", () => {
  assert.deepEqual(chosen(["x", "y"], ["z"]), ["x", "y"]);
  assert.deepEqual(chosen(["x", "y"], ["y", "z"]), ["y"]);
});
