/**
 * What reaches each program that runs on a node: the npm packages and the rooms in its bundle, from esbuild's own account.
 * A new package shows up here as a difference. `UPDATE_GOLDEN=1` writes the list anew.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { before, test } from "node:test";
import { analyseBundle } from "#tools/build.ts";
import { BUNDLES } from "#tools/bundles.ts";

const GOLDEN = join(import.meta.dirname, "testdata", "bundles.txt");
const PLUGIN = { name: "cni-plugin", entry: "istio-cni/plugin/plugin.ts" };
const DAEMONS = [...BUNDLES.filter((b) => !b.name.startsWith("sample-")), PLUGIN];

interface Contents {
  readonly packages: readonly string[];
  /** Our own folders, two levels deep. */
  readonly folders: readonly string[];
}

const contents = new Map<string, Contents>();
before(async () => {
  for (const bundle of DAEMONS) contents.set(bundle.name, await contentsOf(bundle));
});

async function contentsOf(bundle: (typeof DAEMONS)[number]): Promise<Contents> {
  const { outputs } = await analyseBundle(bundle);
  const output = Object.values(outputs).find((o) => o.entryPoint !== undefined);
  const files = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const packages = new Set<string>();
  const folders = new Set<string>();
  for (const [file] of files) {
    const inPackage = file.split("node_modules/").at(-1);
    if (file.includes("node_modules/")) packages.add(packageOf(inPackage ?? file));
    else folders.add(file.split("/").slice(0, -1).slice(0, 2).join("/"));
  }
  for (const { path, external } of Object.values(outputs).flatMap((o) => o.imports)) {
    if (external === true && !isBuiltin(path)) packages.add(`${packageOf(path)} (if installed)`);
  }
  return { packages: [...packages].toSorted(), folders: [...folders].toSorted() };
}

function packageOf(path: string): string {
  return path
    .split("/")
    .slice(0, path.startsWith("@") ? 2 : 1)
    .join("/");
}

function isBuiltin(path: string): boolean {
  return path.startsWith("node:") || builtinModules.includes(path);
}

const foldersOf = (name: string): readonly string[] => contents.get(name)?.folders ?? [];

test("the CNI plugin carries no package and nothing of ours but itself", () => {
  assert.deepEqual(contents.get("cni-plugin"), { packages: [], folders: ["istio-cni/plugin"] });
});

test("the controller carries neither kernel calls nor tunnels", () => {
  const folders = foldersOf("controller");
  assert.deepEqual(
    folders.filter((f) => /^core\/(?:linux|hbone|http2|handle)$/.test(f)),
    [],
  );
  assert.ok(folders.includes("controller/translate"));
});

for (const name of ["ztunnel", "waypoint"]) {
  test(`${name} carries no Kubernetes client: it has no right there`, () => {
    const { packages = [] } = contents.get(name) ?? {};
    assert.ok(packages.length > 0);
    assert.ok(!packages.includes("@kubernetes/client-node"));
    assert.ok(!foldersOf(name).includes("core/k8s"));
  });
}

test("a waypoint carries no foreign functions: it runs without any capability", () => {
  assert.ok(!foldersOf("waypoint").includes("core/linux"));
  assert.ok(!(contents.get("waypoint")?.packages ?? []).some((name) => name.startsWith("koffi")));
});

test("no daemon of the product carries the local cluster, tests or tools", () => {
  for (const name of ["ztunnel", "waypoint", "agent", "controller"]) {
    const foreign = foldersOf(name).filter((f) =>
      /^(?:local|e2e|cli|bench|test|tools|core\/testing)/.test(f),
    );
    assert.deepEqual(foreign, [], name);
  }
});

test("the packages in each bundle are the known ones", () => {
  const text = DAEMONS.map(
    ({ name }) => `${name}\n${(contents.get(name)?.packages ?? []).map((p) => `  ${p}\n`).join("")}`,
  ).join("");
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, "utf8"));
});
