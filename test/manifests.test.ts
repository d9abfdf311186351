/** What the manifests promise: no token that nobody asked for, no privilege beyond the listed, nothing on shared loopbacks. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { renderWaypoint } from "#controller/waypoints/objects/render-waypoint.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { NODE_SYSCTLS } from "#istio-cni/capture/kernel-names.ts";
import { lookUpImage } from "#local/images.ts";
import { parseAllDocuments } from "yaml";

type Json = Readonly<Record<string, unknown>>;

const FOLDER = join(import.meta.dirname, "..", "deploy");
const TEXTS: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".yaml"))
  .toSorted()
  .map((name) => readFileSync(join(FOLDER, name), "utf8"));
const MANIFESTS: readonly Json[] = TEXTS.flatMap((text) => parseAllDocuments(text)).map((document) =>
  jsonObject(document.toJS()),
);

const ofKind = (...kinds: readonly string[]): readonly Json[] =>
  MANIFESTS.filter((manifest) => kinds.includes(jsonText(manifest["kind"])));
const nameOf = (manifest: Json): string => jsonText(jsonObject(manifest["metadata"])["name"]);
const podOf = (manifest: Json): Json =>
  jsonObject(jsonObject(jsonObject(manifest["spec"])["template"])["spec"]);
const WORKLOADS = ofKind("Deployment", "DaemonSet").map((manifest) => ({
  name: nameOf(manifest),
  template: jsonObject(jsonObject(manifest["spec"])["template"]),
  pod: podOf(manifest),
  container: jsonObject(jsonList(podOf(manifest)["containers"])[0]),
}));
const find = (name: string): (typeof WORKLOADS)[number] => {
  const found = WORKLOADS.find((workload) => workload.name === name);
  assert.ok(found);
  return found;
};
const projected = (pod: Json): readonly Json[] =>
  jsonList(pod["volumes"])
    .map((volume) => jsonObject(jsonObject(volume)["projected"]))
    .filter((volume) => volume["sources"] !== undefined);
const tokensOf = (pod: Json): readonly Json[] =>
  projected(pod)
    .flatMap((volume) => jsonList(volume["sources"]))
    .map((source) => jsonObject(jsonObject(source)["serviceAccountToken"]))
    .filter((token) => token["path"] !== undefined);

test("no number is octal for one reader and decimal for another", () => {
  for (const text of TEXTS) assert.doesNotMatch(text, /[:{,[]\s*0[0-9o]+\s*(?:$|[,}\]#])/m);
});

test("three workloads are looked at", () => {
  assert.deepEqual(
    WORKLOADS.map((workload) => workload.name),
    ["ambit-controller", "istio-cni-node", "ztunnel"],
  );
});

test("no pod gets a token by itself, by account or by pod", () => {
  for (const account of ofKind("ServiceAccount"))
    assert.equal(account["automountServiceAccountToken"], false, nameOf(account));
  for (const { name, pod } of WORKLOADS) assert.equal(pod["automountServiceAccountToken"], false, name);
});

test("no Service becomes a setting by its name (STATS_PORT, of one called stats)", () => {
  const identity = { namespace: "shop", name: "edge", gatewayUid: "u" };
  const image = {
    image: "i",
    clusterId: "c",
    network: "",
    trustDomain: "t",
    trustDomainAliases: [],
    controllerAddress: "",
  };
  const waypoint = podOf(renderWaypoint(identity, image).deployment);
  for (const pod of [waypoint, ...WORKLOADS.map((workload) => workload.pod)])
    assert.equal(pod["enableServiceLinks"], false);
});

test("tokens are files that only their owner reads, for an hour; ztunnel's is for the CA alone", () => {
  for (const { name, pod } of WORKLOADS) {
    assert.deepEqual(
      projected(pod).map((volume) => volume["defaultMode"]),
      [0o400],
      name,
    );
    assert.deepEqual(
      tokensOf(pod).map((token) => token["expirationSeconds"]),
      [3_600],
      name,
    );
  }
  assert.deepEqual(
    tokensOf(find("ztunnel").pod).map((token) => token["audience"]),
    ["istio-ca"],
  );
  for (const name of ["ambit-controller", "istio-cni-node"])
    assert.deepEqual(
      tokensOf(find(name).pod).map((token) => token["audience"]),
      [undefined],
    );
});

test("only the agent shares the node's network and processes: ztunnel's admin port is on a loopback of its own", () => {
  const shares = (key: string): readonly string[] =>
    WORKLOADS.filter(({ pod }) => pod[key] === true).map(({ name }) => name);
  assert.deepEqual(shares("hostNetwork"), ["istio-cni-node"]);
  assert.deepEqual(shares("hostPID"), ["istio-cni-node"]);
  assert.deepEqual(shares("hostIPC"), []);
});

test("capabilities are exactly the needed ones, and none can be gained", () => {
  const added: Record<string, readonly unknown[]> = {};
  for (const { name, container } of WORKLOADS) {
    const security = jsonObject(container["securityContext"]);
    const capabilities = jsonObject(security["capabilities"]);
    assert.equal(security["privileged"], undefined, name);
    assert.equal(security["allowPrivilegeEscalation"], false, name);
    assert.deepEqual(capabilities["drop"], ["ALL"], name);
    added[name] = jsonList(capabilities["add"]).map(jsonText).toSorted();
  }
  assert.deepEqual(added, {
    "ambit-controller": [],
    "istio-cni-node": ["DAC_OVERRIDE", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"],
    ztunnel: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
  });
});

test("the agent, which is not privileged, writes sysctls where the node's own are mounted", () => {
  const { pod, container } = find("istio-cni-node");
  const mounted = jsonList(container["volumeMounts"])
    .map(jsonObject)
    .find((mount) => mount["mountPath"] === NODE_SYSCTLS);
  const volume = jsonList(pod["volumes"])
    .map(jsonObject)
    .find((candidate) => candidate["name"] === mounted?.["name"]);
  assert.deepEqual(volume?.["hostPath"], { path: "/proc/sys/net" });
});

test("the controller, which holds the CA's key, is not root and can write nowhere", () => {
  const { pod, container } = find("ambit-controller");
  assert.equal(jsonObject(pod["securityContext"])["runAsNonRoot"], true);
  assert.equal(jsonObject(container["securityContext"])["readOnlyRootFilesystem"], true);
  assert.equal(jsonObject(find("ztunnel").container["securityContext"])["readOnlyRootFilesystem"], true);
  assert.ok(!JSON.stringify(pod).includes("hostPath"));
});

test("every image starts Node without an inspector by signal and without core dumps", () => {
  for (const { name, container } of WORKLOADS) {
    assert.equal(container["command"], undefined, name);
    const found = lookUpImage(jsonText(container["image"]));
    assert.ok(found.kind === "found", name);
    const command = found.image.command.join(" ");
    assert.match(command, / --disable-sigusr1 /, name);
    assert.match(command, /ulimit -c 0; exec/, name);
  }
});

test("the CA's secret is made empty by the installer, since the controller may not create secrets", () => {
  const [secret] = ofKind("Secret");
  assert.equal(secret && nameOf(secret), "istio-ca-secret");
  assert.equal(secret?.["data"] ?? secret?.["stringData"], undefined);
});

test("the mesh's own namespace and pods never join the mesh", () => {
  const labels = jsonObject(jsonObject(ofKind("Namespace")[0]?.["metadata"])["labels"]);
  assert.equal(labels["istio.io/dataplane-mode"], "none");
  for (const { name, template } of WORKLOADS) {
    const own = jsonObject(jsonObject(template["metadata"])["labels"]);
    assert.equal(own["istio.io/dataplane-mode"], "none", name);
  }
});

test("metrics and readiness of ztunnel and controller are behind a NetworkPolicy; xDS is open to all nodes", () => {
  const open = ofKind("NetworkPolicy").map((policy) => {
    const spec = jsonObject(policy["spec"]);
    const rules = jsonList(spec["ingress"]).map(jsonObject);
    const ports = rules.map((rule) => [
      ...jsonList(rule["ports"]).map((port) => jsonObject(port)["port"]),
      rule["from"] === undefined ? "everybody" : "some namespaces",
    ]);
    return [jsonObject(jsonObject(spec["podSelector"])["matchLabels"])["app"], ...ports];
  });
  assert.deepEqual(open, [
    ["ztunnel", [15_020, "some namespaces"]],
    ["ambit-controller", [15_012, "everybody"], [15_014, "some namespaces"]],
  ]);
});

test("every fence refuses, fails closed and is bound", () => {
  const policies = ofKind("ValidatingAdmissionPolicy");
  assert.deepEqual(policies.map(nameOf), [
    "ambit-agent-fence",
    "ambit-reserved",
    "ambit-probe-host",
    "ambit-waypoint-pods",
    "ambit-waypoint-workloads",
    "ambit-waypoint-accounts",
    "ambit-waypoint-tokens",
    "ambit-waypoint-gateways",
    "ambit-controller-fence",
    "ambit-waypoint-exec",
  ]);
  for (const policy of policies) assert.equal(jsonObject(policy["spec"])["failurePolicy"], "Fail");
  const bound = ofKind("ValidatingAdmissionPolicyBinding").map((binding) => jsonObject(binding["spec"]));
  assert.deepEqual(
    [...new Set(bound.map((spec) => spec["policyName"]))],
    policies.map((policy) => nameOf(policy)),
  );
  for (const spec of bound) assert.deepEqual(spec["validationActions"], ["Deny"]);
  // With parameters alone a policy holds only where there are some: both kinds of binding are needed.
  for (const policy of policies.filter((p) => jsonObject(p["spec"])["paramKind"] !== undefined)) {
    const references = bound
      .filter((spec) => spec["policyName"] === nameOf(policy))
      .map((s) => s["paramRef"]);
    assert.deepEqual(
      references.map((reference) => reference !== undefined),
      [false, true],
    );
  }
});
