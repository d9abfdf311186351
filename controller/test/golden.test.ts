/**
 * Kubernetes objects in, mesh resources and problems out: `translate/testdata/<case>.in.yaml` and `.out.yaml`.
 * UPDATE_GOLDEN=1 rewrites the outputs. Every case runs through the whole graph, encodes, and decodes again.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { stringify } from "yaml";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { decodeAuthorization } from "#core/wire/authorization-codec.ts";
import { decodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { Scheduler } from "../collections/scheduler.ts";
import { MeshIndex } from "../mesh-index.ts";
import { allProblems } from "../problems.ts";
import { loadYaml } from "../source/file-source.ts";
import { Sources } from "../sources.ts";
import { testMeshConfig } from "./builders.ts";

const folder = new URL("../translate/testdata/", import.meta.url);
const cases = readdirSync(folder)
  .filter((name) => name.endsWith(".in.yaml"))
  .map((name) => name.slice(0, -".in.yaml".length));

function indexOf(name: string): MeshIndex {
  const sources = new Sources();
  const scheduler = new Scheduler();
  const index = new MeshIndex(sources, testMeshConfig, scheduler);
  const loaded = loadYaml(readFileSync(new URL(`${name}.in.yaml`, folder), "utf8"), sources);
  assert.deepEqual(loaded.ok ? [] : loaded.problems, []);
  scheduler.run();
  return index;
}

/** Without fields that have their usual value, so that a golden shows what matters. */
function brief(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [k, brief(v)]));
  if (Array.isArray(value)) return value.map(brief);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value)
    .map(([key, item]) => [key, brief(item)] as const)
    .filter(([key, item]) => !isUsual(key, item));
  return Object.fromEntries(kept);
}

const USUAL: Readonly<Record<string, unknown>> = {
  tunnelProtocol: "none",
  nativeTunnel: false,
  status: "healthy",
  trustDomain: "cluster.local",
  clusterId: "Kubernetes",
  networkMode: "standard",
  capacity: 1,
  canonical: true,
  ingressUseWaypoint: false,
  visibility: "public",
  ipFamilies: "automatic",
  canonicalRevision: "latest",
  dryRun: false,
  generation: 0,
};

function isUsual(key: string, value: unknown): boolean {
  if (value === undefined || value === "" || USUAL[key] === value) return true;
  if (key === "rules" || key === "clauses" || key === "matches") return false;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function render(index: MeshIndex): string {
  const addresses = [...index.addresses.values()].map((resource) => {
    const decoded = decodeAddress(resource.body);
    assert.ok(decoded.ok);
    const value = decoded.value;
    return [resource.name, brief(value.kind === "workload" ? value.workload : value.service)] as const;
  });
  const authorizations = [...index.authorizations.values()].map((resource) => {
    const decoded = decodeAuthorization(resource.body);
    assert.ok(decoded.ok);
    return [resource.name, brief(decoded.value)] as const;
  });
  const waypoints = [...index.waypointConfigs.values()].map((resource) => {
    const decoded = decodeWaypointConfig(resource.body);
    assert.ok(decoded.ok);
    const { policies, clientCertField, ...rest } = decoded.value;
    const said = { ...rest, ...(clientCertField && { clientCertField }) };
    return [resource.name, { ...said, policies: policies.map(({ key }) => key) }] as const;
  });
  const byName = (a: readonly [string, unknown], b: readonly [string, unknown]): number =>
    a[0] < b[0] ? -1 : 1;
  return stringify(
    {
      addresses: Object.fromEntries(addresses.toSorted(byName)),
      authorizations: Object.fromEntries(authorizations.toSorted(byName)),
      ...(waypoints.length > 0 && { waypoints: Object.fromEntries(waypoints.toSorted(byName)) }),
      problems: allProblems(index).map(
        (p) => `${p.kind} ${p.namespace}/${p.name} ${p.path}: ${p.reason}: ${p.message}`,
      ),
    },
    { lineWidth: 0 },
  );
}

for (const name of cases) {
  test(`golden ${name}`, () => {
    const target = new URL(`${name}.out.yaml`, folder);
    const got = render(indexOf(name));
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(target, got);
    assert.equal(got, readFileSync(target, "utf8"));
  });
}

test("a workload names only policies that are in the same state, in every golden", () => {
  let named = 0;
  for (const name of cases) {
    const index = indexOf(name);
    for (const { output } of index.workloads.values()) {
      for (const policy of output?.authorizationPolicies ?? []) {
        named++;
        assert.ok(index.authorizations.get(policy) !== undefined, `${name}: ${policy} does not exist`);
      }
    }
  }
  assert.ok(named >= 10, `only ${named} names seen`);
});
