/**
 * AuthorizationPolicy on a running mesh: who may reach whom, what a verdict says, what a change does to live connections,
 * and that no field is silently ignored.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AUTHORIZATION_POLICY } from "#core/k8s/kinds.ts";
import { LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { ask, call, endOf, hangUp, open, serveEcho } from "../framework/tcp-moves.ts";
import { containerLog, type LogLine, untilLogged } from "../framework/node-inside.ts";
import { applyYaml, runPod } from "../framework/pods.ts";
import { conditionOf, refusalOf, whilePolicy } from "../framework/policies.ts";
import { enrol, type HandledPod, openShop, type Shop, withHands } from "../framework/shop.ts";
import { policyCondition } from "../framework/waypoints.ts";
import { agentOn, ztunnelOn } from "../framework/ztunnel-state.ts";

const PORTS = [9_000, 9_001] as const;
const FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend";

let mesh: Mesh;
let shop: Shop;
let other: HandledPod;

interface Policy {
  readonly name: string;
  readonly namespace?: string;
  readonly annotations?: string;
  /** YAML flow of `spec`, without the selector. */
  readonly spec: string;
  /** Whole spec in place of the selector of catalog and `spec`. */
  readonly wide?: boolean;
}

function yamlOf(policy: Policy): string {
  const { name, namespace = "shop", spec, wide, annotations = "{}" } = policy;
  const selector = wide === true ? "" : "selector: { matchLabels: { app: catalog } },";
  return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: ${namespace}, annotations: ${annotations} }
spec: { ${selector} ${spec} }
---`;
}

before(async () => {
  mesh = await meshUp();
  shop = await openShop(mesh);
  await applyYaml(mesh.client, "apiVersion: v1\nkind: Namespace\nmetadata: { name: other }");
  other = await withHands(mesh, await runPod(mesh.client, { namespace: "other", name: "other", node: "n1" }));
  for (const port of PORTS) await shop.catalog.hands.run(serveEcho, `echo-${port}`, port);
});
after(() => mesh?.down());

const callers = (): Readonly<Record<"frontend" | "other" | "intruder", HandledPod>> => ({
  frontend: shop.frontend,
  other,
  intruder: shop.intruder,
});
type Caller = keyof ReturnType<typeof callers>;

/** Who gets through to the catalog, as `caller:port`. */
async function passing(): Promise<readonly string[]> {
  const tries = (Object.keys(callers()) as Caller[]).flatMap((caller) =>
    PORTS.map(async (port) => {
      const outcome = await callers()[caller].hands.run(call, shop.catalog.ipv4, port, "knock");
      return outcome.kind === "ok" ? [`${caller}:${port}`] : [];
    }),
  );
  return (await Promise.all(tries)).flat();
}

const at = (caller: Caller): readonly string[] => PORTS.map((port) => `${caller}:${port}`);
const EVERYONE = [
  "frontend:9000",
  "frontend:9001",
  "other:9000",
  "other:9001",
  "intruder:9000",
  "intruder:9001",
];

async function inboundLines(): Promise<readonly LogLine[]> {
  const lines = containerLog(mesh.node("n2"), await ztunnelOn(mesh, "n2"), "istio-proxy");
  return lines.filter((line) => line.scope === "access" && line["direction"] === "inbound");
}

test("a connection older than the label lives until a policy covers its pod, and its end is said", async () => {
  await shop.frontend.hands.run(open, "older", shop.catalog.ipv4, 9_000);
  await enrol(mesh, "shop");
  await enrol(mesh, "other");
  assert.equal(await shop.frontend.hands.run(ask, "older", "alive"), "e:alive");
  await whilePolicy(mesh, yamlOf({ name: "covers", spec: "rules: [{}]" }), async () => {
    assert.match(await shop.frontend.hands.run(endOf, "older"), /^error E/);
    const agent = await agentOn(mesh, "n2");
    const line = await untilLogged(
      "older connection ended",
      () => containerLog(mesh.node("n2"), agent, "install-cni"),
      (l) =>
        l.msg.startsWith("connection older than enrolment ended") && String(l["local"]).endsWith(":9000"),
    );
    assert.equal(line["policy"], "AuthorizationPolicy shop/covers");
    assert.equal(line["pod"], `shop/${shop.catalog.name}`);
  });
});

describe("who gets through", { concurrency: false }, () => {
  const principal = (name: string): string => `[cluster.local/ns/${name}]`;
  const rows: readonly (Policy & { readonly pass: () => readonly string[] })[] = [
    {
      name: "allow-principal",
      spec: `rules: [{ from: [{ source: { principals: ${principal("shop/sa/frontend")} } }] }]`,
      pass: () => at("frontend"),
    },
    {
      name: "allow-namespace",
      spec: "rules: [{ from: [{ source: { namespaces: [other] } }] }]",
      pass: () => at("other"),
    },
    {
      name: "allow-account",
      spec: "rules: [{ from: [{ source: { serviceAccounts: [frontend] } }] }]",
      pass: () => at("frontend"),
    },
    {
      name: "allow-port",
      spec: "rules: [{ to: [{ operation: { ports: ['9001'] } }] }]",
      pass: () => EVERYONE.filter((who) => who.endsWith(":9001")),
    },
    {
      name: "allow-address",
      spec: "rules: [{ from: [{ source: { ipBlocks: [INTRUDER] } }] }]",
      pass: () => at("intruder"),
    },
    {
      name: "allow-from-and-to",
      spec: `rules: [{ from: [{ source: { principals: ['*/sa/frontend'] } }], to: [{ operation: { ports: ['9000'] } }] }]`,
      pass: () => ["frontend:9000"],
    },
    {
      name: "allow-when",
      spec: `rules: [{ when: [{ key: source.principal, values: ${principal("other/sa/default")} }] }]`,
      pass: () => at("other"),
    },
    { name: "allow-nothing", spec: "action: ALLOW", pass: () => [] },
    { name: "deny-nothing", spec: "action: DENY", pass: () => EVERYONE },
    {
      name: "deny-principal",
      spec: `action: DENY, rules: [{ from: [{ source: { principals: ${principal("shop/sa/frontend")} } }] }]`,
      pass: () => EVERYONE.filter((who) => !who.startsWith("frontend")),
    },
    {
      name: "deny-without-identity",
      spec: `action: DENY, rules: [{ from: [{ source: { notPrincipals: ['*'] } }] }]`,
      pass: () => EVERYONE.filter((who) => !who.startsWith("intruder")),
    },
    {
      name: "deny-not-namespace",
      spec: "action: DENY, rules: [{ from: [{ source: { notNamespaces: [shop] } }] }]",
      pass: () => at("frontend"),
    },
    {
      name: "deny-mesh-wide",
      namespace: "istio-system",
      wide: true,
      spec: "action: DENY, rules: [{ from: [{ source: { namespaces: [other] } }], to: [{ operation: { ports: ['9001'] } }] }]",
      pass: () => EVERYONE.filter((who) => who !== "other:9001"),
    },
    {
      name: "elsewhere",
      namespace: "street",
      wide: true,
      spec: "action: DENY, rules: [{}]",
      pass: () => EVERYONE,
    },
  ];
  for (const row of rows) {
    test(row.name, async () => {
      const yaml = yamlOf(row).replace("INTRUDER", `${shop.intruder.ipv4}/32`);
      await whilePolicy(mesh, yaml, async () => assert.deepEqual(await passing(), row.pass()));
    });
  }

  test("a DENY wins over an ALLOW", async () => {
    const allow = yamlOf({ name: "allow-all", spec: "rules: [{}]" });
    const deny = yamlOf({
      name: "deny-9000",
      spec: "action: DENY, rules: [{ to: [{ operation: { ports: ['9000'] } }] }]",
    });
    await whilePolicy(mesh, allow + deny, async () =>
      assert.deepEqual(
        await passing(),
        EVERYONE.filter((who) => who.endsWith(":9001")),
      ),
    );
  });

  test("a dry run refuses nobody, and its condition says that it is not in force", async () => {
    const annotations = "{ istio.io/dry-run: 'true' }";
    const yaml = yamlOf({ name: "dry", annotations, spec: "action: DENY, rules: [{}]" });
    await whilePolicy(mesh, yaml, async () => {
      assert.deepEqual(await passing(), EVERYONE);
      const condition = await conditionOf(mesh, AUTHORIZATION_POLICY, "shop", "dry");
      assert.match(condition.message, /dry runs are switched off/);
    });
  });

  test("without a policy everyone does", async () => assert.deepEqual(await passing(), EVERYONE));
});

test("a refusal is one log line: who, which policy and rule, why", async () => {
  const spec = `action: DENY, rules: [{ to: [{ operation: { ports: ['1'] } }] }, { from: [{ source: { namespaces: [shop] } }] }]`;
  await whilePolicy(mesh, yamlOf({ name: "say-deny", spec }), async () => {
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv4, 9_000, "x")).kind, "failed");
    const lines = await eventually("denial lines", async () => {
      const found = (await inboundLines()).filter((line) => line["policy"] === "shop/say-deny");
      const own = found.filter(
        (line) =>
          String(line["dst.addr"]).includes("9000") || String(line["dst.hbone_addr"]).endsWith(":9000"),
      );
      return own.length > 0 ? own : undefined;
    });
    assert.equal(lines.length, 1, JSON.stringify(lines));
    const [line] = lines;
    assert.equal(line?.["src.identity"], FRONTEND);
    assert.equal(line?.["rule"], 1);
    assert.equal(line?.["reason"], "denied-by-policy");
    assert.match(String(line?.["decision_id"]), /^[0-9a-f]+-[0-9a-z]+$/);
    assert.match(String(line?.["error"]), /say-deny/);
  });
});

test("a refusal by no ALLOW names the nearest miss", async () => {
  const spec = `rules: [{ from: [{ source: { namespaces: [other] } }], to: [{ operation: { ports: ['9000'] } }] }]`;
  await whilePolicy(mesh, yamlOf({ name: "near", spec }), async () => {
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv4, 9_000, "x")).kind, "failed");
    const line = await eventually("denial line", async () =>
      (await inboundLines()).find(
        (l) =>
          l["reason"] === "no-allow-matched" &&
          String(l["nearest"]).startsWith("shop/near") &&
          String(l["dst.hbone_addr"]).endsWith(":9000"),
      ),
    );
    assert.equal(line["reason"], "no-allow-matched");
    assert.equal(line["nearest"], "shop/near rule 0: namespaces");
    assert.equal(line["src.identity"], FRONTEND);
    assert.equal(line["stage"], "I5");
  });
});

test("a changed policy ends live connections that it no longer allows, one log line each, and no others", async () => {
  await shop.frontend.hands.run(open, "live", shop.catalog.ipv4, 9_000);
  await other.hands.run(open, "live", shop.catalog.ipv6, 9_000);
  await shop.intruder.hands.run(open, "live", shop.catalog.ipv4, 9_001);
  for (const pod of Object.values(callers())) assert.equal(await pod.hands.run(ask, "live", "1"), "e:1");
  const spec = `rules: [{ from: [{ source: { namespaces: [other] } }] }]`;
  await whilePolicy(mesh, yamlOf({ name: "closes", spec }), async () => {
    assert.equal(await shop.frontend.hands.run(endOf, "live"), "error ECONNRESET");
    assert.equal(await shop.intruder.hands.run(endOf, "live"), "error ECONNRESET");
    assert.equal(await other.hands.run(ask, "live", "2"), "e:2");
    const closed = await eventually("lines of the closed connections", async () => {
      const lines = (await inboundLines()).filter((line) => line["reason"] === "policy-changed");
      return lines.length >= 2 ? lines : undefined;
    });
    // The load's kept connections are ended too: each has one line of its own.
    const ids = closed.map((line) => line["decision_id"]);
    assert.equal(new Set(ids).size, ids.length);
    const toNineThousand = closed.filter((line) => String(line["dst.hbone_addr"]).endsWith(":9000"));
    assert.equal(toNineThousand.length, 1);
    assert.equal(toNineThousand[0]?.["src.identity"], FRONTEND);
  });
  await other.hands.run(hangUp, "live");
});

describe("no field is silently ignored", { concurrency: false }, () => {
  // With a waypoint more fields are enforced; what is said and done without one is shown here.
  before(() => mesh.kubectl.labelNamespace("shop", LABEL_USE_WAYPOINT, "none"));
  after(() => mesh.kubectl.labelNamespace("shop", LABEL_USE_WAYPOINT, undefined));
  const rows: readonly (Policy & { readonly condition: RegExp; readonly reason?: string })[] = [
    {
      name: "methods",
      spec: "rules: [{ to: [{ operation: { methods: [GET], ports: ['9000'] } }] }]",
      condition: /spec\.rules\[0\]\.to\[0\]\.operation\.methods/,
    },
    {
      name: "paths-and-hosts",
      spec: "action: DENY, rules: [{ to: [{ operation: { paths: [/x], hosts: [y], ports: ['9001'] } }] }]",
      condition: /operation\.paths.*operation\.hosts|operation\.hosts.*operation\.paths/,
    },
    {
      name: "request-principals",
      spec: "rules: [{ from: [{ source: { requestPrincipals: ['*'] } }] }]",
      condition: /spec\.rules\[0\]\.from\[0\]\.source\.requestPrincipals/,
    },
    {
      name: "remote-ip",
      spec: "rules: [{ from: [{ source: { remoteIpBlocks: [10.0.0.0/8] } }] }]",
      condition: /source\.remoteIpBlocks/,
    },
    {
      name: "trust-domains",
      spec: "rules: [{ from: [{ source: { trustDomains: [cluster.local] } }] }]",
      condition: /source\.trustDomains/,
    },
    {
      name: "unknown-when",
      spec: "rules: [{ when: [{ key: 'request.headers[x]', values: [y] }] }]",
      condition: /spec\.rules\[0\]\.when\[0\]/,
    },
    { name: "audit", spec: "action: AUDIT, rules: [{}]", condition: /spec\.action/ },
    {
      name: "custom",
      spec: "action: CUSTOM, provider: { name: opa }, rules: [{}]",
      condition: /spec\.action/,
    },
    {
      name: "target",
      wide: true,
      spec: "targetRefs: [{ kind: Service, group: '', name: catalog }], rules: [{}]",
      condition: /Enforced says whether/,
      reason: "Accepted",
    },
  ];
  for (const row of rows) {
    test(`${row.name}: a condition names the field`, async () => {
      await whilePolicy(mesh, yamlOf(row), async () => {
        const condition = await conditionOf(mesh, AUTHORIZATION_POLICY, "shop", row.name);
        assert.match(condition.message, row.condition);
        assert.equal(condition.reason, row.reason ?? "UnsupportedValue");
      });
    });
  }

  test("a policy whose target has opted out of waypoints says that it is not enforced", async () => {
    const yaml = yamlOf({
      name: "opted-out",
      wide: true,
      spec: "targetRefs: [{ kind: Service, group: '', name: catalog }], rules: [{}]",
    });
    const read = { namespace: "shop", name: "opted-out", type: "Enforced" };
    await whilePolicy(mesh, yaml, async () => {
      const found = await eventually("Enforced", async () => policyCondition(mesh.client, read));
      assert.deepEqual([found["status"], found["reason"]], ["False", "OptedOut"]);
    });
  });

  test("a clean policy is accepted", async () => {
    const yaml = yamlOf({ name: "clean", spec: "rules: [{}]" });
    await whilePolicy(mesh, yaml, async () => {
      const condition = await conditionOf(mesh, AUTHORIZATION_POLICY, "shop", "clean");
      assert.deepEqual([condition.type, condition.status], ["ZtunnelAccepted", "True"]);
    });
  });

  test("what L4 cannot see never allows more: an ALLOW with methods allows nothing, a DENY with paths denies more", async () => {
    await whilePolicy(
      mesh,
      yamlOf({ name: "l7-allow", spec: "rules: [{ to: [{ operation: { methods: [GET] } }] }]" }),
      async () => assert.deepEqual(await passing(), []),
    );
    const deny = yamlOf({
      name: "l7-deny",
      spec: "action: DENY, rules: [{ to: [{ operation: { paths: [/secret], ports: ['9000'] } }] }]",
    });
    await whilePolicy(mesh, deny, async () =>
      assert.deepEqual(
        await passing(),
        EVERYONE.filter((who) => who.endsWith(":9001")),
      ),
    );
  });
});

describe(
  "what can never be enforced is refused at admission, with the field's path",
  { concurrency: false },
  () => {
    const rules = (source: unknown, operation: unknown = {}): unknown => ({
      rules: [{ from: [{ source }], to: [{ operation }] }],
    });
    const rows: readonly (readonly [string, unknown, RegExp])[] = [
      ["port 0", rules({}, { ports: ["0"] }), /spec\.rules\[0\]\.to\[0\]\.operation\.ports\[0\]/],
      ["port 65536", rules({}, { ports: ["80", "65536"] }), /operation\.ports\[1\]/],
      ["port name", rules({}, { notPorts: ["http"] }), /operation\.notPorts\[0\]/],
      [
        "block with a bad length",
        rules({ ipBlocks: ["10.0.0.0/33"] }),
        /spec\.rules\[0\]\.from\[0\]\.source\.ipBlocks\[0\]/,
      ],
      ["block that is a name", rules({ notIpBlocks: ["example.org"] }), /source\.notIpBlocks\[0\]/],
      ["empty principal", rules({ principals: [""] }), /source\.principals\[0\]/],
      [
        "accounts with principals",
        rules({ serviceAccounts: ["a"], principals: ["b"] }),
        /spec\.rules\[0\]\.from\[0\]\.source.*serviceAccounts/,
      ],
      ["unknown action", { action: "PERMIT" }, /spec\.action/],
      [
        "selector with targetRefs",
        { selector: {}, targetRefs: [{ kind: "Service", name: "x" }] },
        /only one of selector, targetRef and targetRefs/,
      ],
      ["CUSTOM without provider", { action: "CUSTOM", rules: [{}] }, /spec.*provider/],
      [
        "wildcard in the selector",
        { selector: { matchLabels: { app: "*" } } },
        /spec\.selector\.matchLabels.*wildcard/s,
      ],
      [
        "target in another namespace",
        { targetRefs: [{ kind: "Service", name: "x", namespace: "y" }] },
        /spec\.targetRefs\[0\]\.namespace/,
      ],
      [
        "condition without key",
        { rules: [{ when: [{ values: ["x"] }] }] },
        /spec\.rules\[0\]\.when\[0\]\.key/,
      ],
      ["rules of the wrong type", { rules: "all" }, /spec\.rules/],
    ];
    for (const [title, spec, path] of rows) {
      test(title, async () => {
        const object = {
          apiVersion: "security.istio.io/v1",
          kind: "AuthorizationPolicy",
          metadata: { name: "bad", namespace: "shop" },
          spec,
        };
        assert.match(await refusalOf(mesh, AUTHORIZATION_POLICY, object), path);
      });
    }

    test("kubectl shows the path", async (t) => {
      if (!mesh.kubectl.isReal) return t.skip("no kubectl on this machine");
      const yaml = yamlOf({ name: "bad", spec: "rules: [{ to: [{ operation: { ports: ['99999'] } }] }]" });
      await assert.rejects(mesh.kubectl.apply(yaml), /spec\.rules\[0\]\.to\[0\]\.operation\.ports\[0\]/);
      return undefined;
    });

    test("kubectl reports a misspelt field", async (t) => {
      if ((await mesh.kubectl.minorVersion()) < 25)
        return t.skip("no kubectl here that asks for strict fields");
      const yaml = yamlOf({ name: "typo", spec: "rules: [{ form: [{ source: { namespaces: [other] } }] }]" });
      await assert.rejects(mesh.kubectl.apply(yaml), /spec\.rules\[0\]\.form/);
      return undefined;
    });
  },
);
