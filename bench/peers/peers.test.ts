import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCipherSpeed, parseOpensslSpeed } from "./cipher-speed.ts";
import { meshDocument } from "./mesh-document.ts";
import { sumOfCounter } from "./metrics-text.ts";
import { haproxyConfig, nginxConfig, type SideOptions, stunnelConfig } from "./proxy-configs.ts";
import { requireLocalState } from "#ztunnel/state/read-local-state.ts";

const certificate = { certificatePath: "/c.pem", keyPath: "/c.key", bothPath: "/c.both" };

function side(name: "a" | "b"): SideOptions {
  const forwards = [{ name: "echo", listen: "10.0.0.1:7001", connect: "10.0.0.2:7101" }];
  return { side: name, forwards, certificate, caPath: "/ca.pem", serverName: "bench.test", logPath: "/log" };
}

test("every configuration verifies its peer, in TLS 1.3 with the one cipher, and logs", () => {
  for (const name of ["a", "b"] as const) {
    const nginx = nginxConfig({ ...side(name), modulePath: "/m.so", directory: "/d" });
    const texts = [haproxyConfig(side(name)), nginx, stunnelConfig(side(name))];
    for (const text of texts) {
      assert.match(text, /TLSv1\.3/);
      assert.match(text, /TLS_AES_256_GCM_SHA384/);
      assert.match(text, /X25519/);
      assert.match(text, /verify required|ssl_verify(_client)? on|verifyChain = yes/);
      assert.match(text, /option tcplog|access_log|debug = 5/);
      assert.match(text, /10\.0\.0\.1:7001/);
      assert.doesNotMatch(text, /undefined/);
    }
  }
});

test("only the server's side listens with TLS, only the client's side dials with it", () => {
  assert.match(haproxyConfig(side("b")), /bind 10.0.0.1:7001 ssl/);
  assert.doesNotMatch(haproxyConfig(side("a")), /bind .* ssl/);
  assert.match(haproxyConfig(side("a")), /server s 10.0.0.2:7101 ssl/);
  assert.match(stunnelConfig(side("a")), /client = yes/);
  assert.doesNotMatch(stunnelConfig(side("b")), /client = yes/);
});

test("the mesh has 100 workloads and 20 policies, and ztunnel can read it", () => {
  const resources = requireLocalState(JSON.parse(JSON.stringify(meshDocument())), "mesh");
  const count = (kind: string): number => resources.filter((resource) => resource.kind === kind).length;
  assert.equal(count("workload"), 100);
  assert.equal(count("authorization"), 20);
  const uids = resources.flatMap((resource) => (resource.kind === "workload" ? [resource.workload.uid] : []));
  assert.equal(new Set(uids).size, 100);
});

test("counters are summed over the series that match, and over no other name", () => {
  const text = [
    "# HELP istio_tcp_connections_opened_total Connections opened",
    'istio_tcp_connections_opened_total{reporter="source",response_flags="-",x="1"} 5',
    'istio_tcp_connections_opened_total{reporter="source",response_flags="-",x="2"} 7',
    'istio_tcp_connections_opened_total{reporter="destination",x="1"} 100',
    'istio_tcp_connections_opened_total_more{reporter="source"} 1000',
  ].join("\n");
  assert.equal(sumOfCounter(text, "istio_tcp_connections_opened_total", { reporter: "source" }), 12);
  assert.equal(sumOfCounter(text, "istio_tcp_connections_opened_total", { reporter: "waypoint" }), 0);
});

test("the speed line of openssl is read, anything else is unknown", () => {
  assert.equal(parseOpensslSpeed("+H:16384\n+F:25:AES-256-GCM:10737418240.00\n"), 10);
  assert.equal(parseOpensslSpeed("speed: unknown option"), undefined);
});

test("this Node's own library can be asked", () => {
  assert.ok((nodeCipherSpeed() ?? 0) > 0);
});
