/**
 * The kubectl of this machine against the server: what it prints, normalised, is kept per minor version in `testdata/`
 * (`UPDATE_GOLDEN=1` writes it). For a version without a golden only the exit codes count.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const DATA = new URL("testdata/", import.meta.url).pathname;
const CRDS = new URL("../../crds/", import.meta.url).pathname;
const DEPLOY = new URL("../../deploy/", import.meta.url).pathname;

/** Lines starting with `!` must fail. */
const COMMANDS = `
apply -f ${DATA}app.yaml
apply -f ${DATA}app.yaml
apply --server-side -f ${DATA}app.yaml --force-conflicts
diff -f ${DATA}app.yaml
api-resources --api-group=apps
get ns demo
get all -n demo
get deploy web -n demo -o wide
get svc,cm -n demo
get cm cfg -n demo -o yaml
get cm cfg -n demo -o jsonpath={.data}
describe svc web -n demo
label cm cfg -n demo x=y
annotate cm cfg -n demo note=hi
patch cm cfg -n demo --type=json -p [{"op":"add","path":"/data/b","value":"2"}]
patch deploy web -n demo -p {"spec":{"template":{"metadata":{"annotations":{"k":"v"}}}}}
scale deploy web -n demo --replicas=3
set image deploy/web -n demo web=ambit/web:2
set env deploy/web -n demo LEVEL=debug
rollout history deploy/web -n demo
rollout restart deploy/web -n demo
create cm made -n demo --from-literal=k=v
create deployment tiny -n demo --image=ambit/tiny:1
create token default -n demo --audience istio-ca --duration 10m
create cm dry -n demo --dry-run=server -o name
auth can-i create pods -n demo
auth whoami -o name
explain deployment.spec.strategy.rollingUpdate
wait --for=condition=Ready pod/p1 -n demo --timeout=1s
apply -f ${CRDS}authorization-policy.yaml
wait --for=condition=Established crd/authorizationpolicies.security.istio.io --timeout=10s
apply -f ${DATA}policy.yaml
get authorizationpolicies -n demo
explain authorizationpolicy.spec.action
patch authorizationpolicy front -n demo --type=merge -p {"spec":{"action":"NOPE"}}
patch authorizationpolicy front -n demo --type=merge -p {"spec":{"nope":1}}
patch authorizationpolicy front -n demo --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Enforced","status":"True"}]}}
wait --for=condition=Enforced authorizationpolicy/front -n demo --timeout=10s
get authorizationpolicies -n demo
apply -f ${CRDS}gateway-class.yaml -f ${CRDS}gateway.yaml
wait --for=condition=Established crd/gateways.gateway.networking.k8s.io --timeout=10s
apply -f ${DATA}gateway.yaml
get gateways,gatewayclasses -n demo
wait --for=condition=Programmed gateway/waypoint -n demo --timeout=1s
patch gateway waypoint -n demo --subresource=status --type=merge -p {"status":{"addresses":[{"value":"10.96.0.9"}],"conditions":[{"type":"Programmed","status":"True","reason":"Programmed","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}
wait --for=condition=Programmed gateway/waypoint -n demo --timeout=10s
get gtw -n demo
delete gateway waypoint -n demo
apply --server-side -f ${CRDS}
wait --for=condition=Established -f ${CRDS} --timeout=10s
apply --server-side -f ${DEPLOY}
get cm nope -n demo
get nothings
logs p1 -n demo
delete cm made cfg -n demo
delete authorizationpolicy front -n demo
delete -f ${DATA}app.yaml --ignore-not-found --timeout=20s
get ns demo
`
  .trim()
  .split("\n");
const FAILING =
  /^(diff|wait --for=condition=Ready|wait --for=condition=Programmed gateway\/waypoint -n demo --timeout=1s|patch authorizationpolicy front -n demo --type=merge -p \{"spec":\{"n?action?|get cm nope|get nothings|logs|get ns demo$)/;

/** The first minor version of kubectl that has a command, or that asks OpenAPI v3 for it (the server's v2 document is empty). */
const SINCE: readonly (readonly [start: string, minor: number])[] = [
  ["create token", 24],
  ["auth whoami", 27],
  ["explain", 27],
  ["patch authorizationpolicy front -n demo --subresource", 24],
  ["patch gateway", 24],
  ["wait --for=condition=Enforced", 24],
  ["wait --for=condition=Programmed gateway/waypoint -n demo --timeout=10s", 24],
  ["create cm dry", 27],
];

interface Run {
  readonly command: string;
  readonly code: number;
  readonly output: string;
}

function run(api: TestApi, command: string): Promise<Run> {
  const kubeconfig = join(api.dataDir, "kubeconfig");
  writeFileSync(kubeconfig, api.server.adminKubeconfig, { mode: 0o600 });
  return new Promise((resolve) => {
    const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: api.dataDir };
    execFile("kubectl", command.split(" "), { env, timeout: 30_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ command, code, output: stdout + stderr });
    });
  });
}

function commandsOf(kubectl: string): readonly string[] {
  const minor = Number(kubectl.split(".")[1]);
  return COMMANDS.filter((command) =>
    SINCE.every(([start, since]) => minor >= since || !command.startsWith(start)),
  );
}

function normalised(text: string): string {
  return text
    .replaceAll(DATA, "testdata/")
    .replaceAll(CRDS, "crds/")
    .replaceAll(DEPLOY, "deploy/")
    .replace(/^(\S+ serverside-applied\n){20,}/m, "<all> serverside-applied\n")
    .replace(/eyJ[\w.-]+/g, "<token>")
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, "<uid>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/resourceVersion: "\d+"/g, 'resourceVersion: "<revision>"')
    .replace(/10\.96\.\d+\.\d+/g, "<address>")
    .replace(/\b\d+(s|m\d*s?)\b/g, "<age>")
    .replace(/(web|tiny)-[a-z0-9]{7}(-[a-z0-9]{5})?/g, "$1-<hash>")
    .replace(/ +$/gm, "")
    .replace(/ {2,}/g, "  ");
}

const found = spawnSync("kubectl", ["version", "--client", "-o", "json"], { encoding: "utf8" });
const version = /"gitVersion":\s*"v(\d+\.\d+)/.exec(found.stdout ?? "")?.[1];

test(
  "kubectl works against the server",
  { skip: version === undefined ? "kubectl is not installed" : false, timeout: 120_000 },
  async (t) => {
    const api = await startTestApi();
    const golden = `${DATA}kubectl-${version}.golden`;
    const runs: Run[] = [];
    try {
      for (const command of commandsOf(version ?? "")) runs.push(await run(api, command));
    } finally {
      await api.close();
    }
    const text = runs
      .map(
        ({ command, code, output }) => `### kubectl ${normalised(command)} -> ${code}\n${normalised(output)}`,
      )
      .join("\n");
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, text);
    t.diagnostic(
      `kubectl ${version}, ${runs.length} commands, ${existsSync(golden) ? "golden compared" : "no golden: exit codes only"}`,
    );
    const wrong = runs.filter(
      ({ command, code }, i) =>
        (code !== 0) !==
        (FAILING.test(command) &&
          (command !== "get ns demo" || i === runs.length - 1) &&
          !(command.startsWith("diff") && code === 0)),
    );
    assert.deepEqual(
      wrong.map(({ command, code, output }) => `${command} -> ${code}: ${output.slice(0, 300)}`),
      [],
    );
    if (existsSync(golden)) assert.equal(text, readFileSync(golden, "utf8"));
  },
);
