/** Destinations of a pod for which a policy denies HTTP by requests alone, on a port that counts as TCP: every way in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { policyKey } from "#core/model/ids.ts";
import { deniesHttpName, httpDenierOf } from "#core/model/waypoint.ts";
import { systemClock } from "#core/base/clock.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { anAuthorizationOf, aWorkload } from "#core/testing/builders.ts";
import { FakeHandle } from "#core/testing/fake-handle.ts";
import type { PodContext } from "../proxy/proxy-deps.ts";
import { refusingHttp } from "../proxy/refusing-http.ts";
import { client, type Dial, echoServer, eventually } from "./apps.ts";
import { serviceFor, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

const POLICY = deniesHttpName(policyKey("default", "no-admin"));

interface Way {
  readonly name: string;
  /** Where the client's pod is, and how it dials. */
  readonly dial: (at: { here: TestNode; there: TestNode; server: TestPod; port: number }) => Promise<Dial>;
}

async function captured(node: TestNode, server: TestPod, port: number): Promise<Dial> {
  const pod = await node.pod({ name: "frontend" });
  const { service } = serviceFor(pod, server, port);
  return { host: service.vips[0]?.ip ?? "", port: pod.sockets.outboundPort, from: pod.address };
}

const WAYS: readonly Way[] = [
  { name: "through a tunnel", dial: ({ here, server, port }) => captured(here, server, port) },
  { name: "within the node", dial: ({ there, server, port }) => captured(there, server, port) },
  {
    name: "in plaintext",
    dial: async ({ server, port }) => {
      server.sockets.plaintextTarget = port;
      return { host: server.address, port: server.sockets.plaintextPort, from: "127.0.0.1" };
    },
  },
];

test("a policy that comes while the application is dialled counts", () => {
  const state = new MeshState();
  const workload = aWorkload({ excludedPorts: [7_000] });
  const authorizationPolicies = [policyKey(workload.namespace, POLICY)];
  const upserts = [{ kind: "workload", workload: { ...workload, authorizationPolicies } } as const];
  const application = new FakeHandle();
  const watched = (): boolean => {
    const context = { deps: { state, clock: systemClock } } as unknown as PodContext;
    const active = { abort: () => undefined };
    return refusingHttp(context, active, application, { workload, port: 7_000 }) !== application;
  };
  assert.equal(watched(), false);
  state.commit({ upserts, removals: [] });
  assert.equal(watched(), true);
});

for (const { name, dial } of WAYS) {
  test(
    `${name}: HTTP is reset before the application has a byte of it, anything else passes`,
    { timeout: 20_000 },
    async () => {
      const mesh = new TestMesh(chooseBackend());
      const [here, there] = [mesh.node(), mesh.node()];
      const pod = await there.pod({ name: "catalog" });
      const app = await echoServer(pod.address);
      try {
        const way = await dial({ here, there, server: pod, port: app.port });
        const open = client(way);
        open.socket.write("GET /admin HTTP/1.1\r\n\r\n");
        assert.match(await open.received(10), /^GET \/admin/, "without the policy it passes");
        open.socket.destroy();

        const known = there.state.workloads.get(pod.workload.uid) ?? pod.workload;
        const excludedPorts = [app.port, pod.sockets.plaintextPort].toSorted((a, b) => a - b);
        const authorizationPolicies = [policyKey("default", POLICY)];
        mesh.commit(
          {
            ...anAuthorizationOf({}, { action: "deny", name: POLICY, scope: "workload-selector" }),
            rules: [],
          },
          { ...known, excludedPorts, authorizationPolicies },
        );
        const other = client(way);
        other.socket.write("EHLO x\r\n");
        assert.equal(await other.received(8), "EHLO x\r\n");
        other.socket.end();

        const refused = client(way);
        refused.socket.write("GET /admin HTTP/1.1\r\n\r\n");
        const outcome = await refused.outcome;
        assert.deepEqual([outcome.kind, outcome.received], ["reset", ""]);
        const line = await eventually("a line", () =>
          there.access().find(({ reason }) => reason === "http-on-tcp-port"),
        );
        assert.match(String(line["error"]), /default\/no-admin denies HTTP requests/);
        assert.equal(line["stage"], "I9");
      } finally {
        await mesh.close();
        await app.close();
      }
    },
  );
}

test("the name of a policy is found again in the name by which workloads say it", () => {
  const key = policyKey("istio-system", "no-admin.v1");
  assert.equal(httpDenierOf(deniesHttpName(key)), key);
  assert.equal(httpDenierOf("no-admin.v1"), undefined);
});
