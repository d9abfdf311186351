import assert from "node:assert/strict";
import { test } from "node:test";
import { testMeshConfig } from "../test/builders.ts";
import { translateMeshConfig } from "./mesh-config.ts";

const read = (mesh: string) => {
  const metadata = { namespace: "istio-system", name: "istio", generation: 1 };
  const { output, problems } = translateMeshConfig({ metadata, data: { mesh } } as never, testMeshConfig);
  return { output, problems: problems.map(({ path }) => path) };
};

test("an alias that is no name is believed from nobody, and that is said", () => {
  const { output, problems } = read('trustDomainAliases: [old.domain, "Not A Name", "", 7, "a/b", "*"]\n');
  assert.deepEqual(output.trustDomainAliases, ["old.domain"]);
  assert.deepEqual(
    problems,
    [1, 2, 3, 4, 5].map((i) => `data.mesh.trustDomainAliases[${i}]`),
  );
});

test("aliases that are no list are none, and that is said", () => {
  const { output, problems } = read("trustDomainAliases: old.domain\n");
  assert.deepEqual(output.trustDomainAliases, []);
  assert.deepEqual(problems, ["data.mesh.trustDomainAliases"]);
});

test("good aliases are no problem, in whatever order", () => {
  const { output, problems } = read("trustDomainAliases: [b.domain, a.domain]\n");
  assert.deepEqual(output.trustDomainAliases, ["a.domain", "b.domain"]);
  assert.deepEqual(problems, []);
});

test("path normalisation has Istio's names; the default is BASE, and a wrong name is said", () => {
  const option = (text: string) => read(`pathNormalization: { normalization: ${text} }\n`);
  for (const [text, meant] of [
    ["NONE", "none"],
    ["DEFAULT", "base"],
    ["BASE", "base"],
    ["MERGE_SLASHES", "merge-slashes"],
    ["DECODE_AND_MERGE_SLASHES", "decode-and-merge-slashes"],
  ] as const) {
    const { output, problems } = option(text);
    assert.equal(output.pathNormalization, meant);
    assert.deepEqual(problems, []);
  }
  assert.equal(read("rootNamespace: x\n").output.pathNormalization, "base");
  for (const wrong of ["base", "DECODE", "7", "[]"]) {
    const { output, problems } = option(wrong);
    assert.equal(output.pathNormalization, "base");
    assert.deepEqual(problems, ["data.mesh.pathNormalization.normalization"]);
  }
  const { problems } = read("pathNormalization: { normalisation: NONE }\n");
  assert.deepEqual(problems, [
    "data.mesh.pathNormalization.normalisation",
    "data.mesh.pathNormalization.normalization",
  ]);
});
