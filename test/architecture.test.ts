/** The import rules hold for every source file, and the test proves that it looked at all of them. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { type ImportEdge, violation } from "./architecture.ts";

const ALIAS = /^#([a-z0-9-]+)\//;
const SPECIFIER =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+"([^"]+)"|import\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s+"([^"]+)"/g;

function sourceFiles(): readonly string[] {
  return globSync("{core,ztunnel,waypoint,istio-cni,controller,cli,local,e2e,test,bench,tools}/**/*.ts");
}

function importsOf(file: string): readonly ImportEdge[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(SPECIFIER)].map((m) => ({
    from: file,
    to: resolve(file, m[1] ?? m[2] ?? m[3] ?? ""),
  }));
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return normalize(join(dirname(from), specifier));
  return specifier.replace(ALIAS, "$1/");
}

test("every import is allowed, and every file was read", () => {
  const files = sourceFiles();
  const edges = files.flatMap(importsOf);
  const bad = edges.flatMap((edge) => {
    const why = violation(edge);
    return why === undefined ? [] : [`${edge.from} imports ${edge.to}: ${why}`];
  });
  assert.deepEqual(bad, []);
  assert.ok(files.length > 100, `looked at ${files.length} files`);
  assert.ok(edges.length > files.length, `saw ${edges.length} imports`);
});

test("inside a top-level folder imports are relative, across folders they use an alias", () => {
  const bad = sourceFiles().flatMap((file) => {
    const text = readFileSync(file, "utf8");
    return [...text.matchAll(SPECIFIER)]
      .map((m) => m[1] ?? m[2] ?? m[3] ?? "")
      .filter((specifier) => crossesWrongly(file, specifier))
      .map((specifier) => `${file}: ${specifier}`);
  });
  assert.deepEqual(bad, []);
});

function crossesWrongly(file: string, specifier: string): boolean {
  const own = file.split("/")[0];
  const alias = ALIAS.exec(specifier)?.[1];
  if (alias !== undefined) return alias === own;
  return (
    specifier.startsWith(".") &&
    specifier !== "../../package.json" &&
    resolve(file, specifier).split("/")[0] !== own
  );
}

test("no barrels, no drawers for everything", () => {
  const bad = sourceFiles().filter((file) => /(?:^|\/)(?:index|utils?|helpers?|common|misc)\.ts$/.test(file));
  assert.deepEqual(bad, []);
});

const FORBIDDEN: readonly ImportEdge[] = [
  { from: "core/net/ip.ts", to: "core/runtime/log.ts" },
  { from: "core/hbone/relay.ts", to: "ztunnel/app.ts" },
  { from: "ztunnel/app.ts", to: "controller/app.ts" },
  { from: "ztunnel/app.ts", to: "local/cluster.ts" },
  { from: "ztunnel/app.ts", to: "core/testing/builders.ts" },
  { from: "controller/app.ts", to: "core/linux/netns.ts" },
  { from: "istio-cni/plugin/plugin.ts", to: "core/base/clock.ts" },
  { from: "istio-cni/plugin/plugin.ts", to: "pino" },
  { from: "controller/translate/pod.ts", to: "node:fs" },
  { from: "ztunnel/proxy/outbound-route.ts", to: "core/handle/handle.ts" },
  { from: "ztunnel/inpod/zds-client.ts", to: "koffi" },
];

for (const edge of FORBIDDEN) {
  test(`is forbidden: ${edge.from} importing ${edge.to}`, () => {
    assert.notEqual(violation(edge), undefined);
  });
}
