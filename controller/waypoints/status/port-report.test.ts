/** What the status of a policy says about ports, on configurations as people write them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Scheduler } from "../../collections/scheduler.ts";
import { MeshIndex } from "../../mesh-index.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import { testMeshConfig } from "../../test/builders.ts";
import { portReport, type PortReport } from "./port-report.ts";

interface Case {
  readonly name: string;
  /** `name: ports`, each port `name port`. */
  readonly services?: Readonly<Record<string, readonly string[]>>;
  /** Annotation of a pod, by its name. */
  readonly pods?: Readonly<Record<string, string | undefined>>;
  readonly namespace?: string;
  readonly spec: object;
  readonly expect: readonly string[];
  readonly judgesNothing?: boolean;
}

const DENY = { action: "DENY", rules: [{ to: [{ operation: { notMethods: ["GET"] } }] }] };
const ALLOW = { rules: [{ to: [{ operation: { methods: ["GET"] } }] }] };
const ONE_POD = { web: undefined };
const EXCLUDE = "ambit.io/waypoint-exclude-ports";

const CASES: readonly Case[] = [
  {
    name: "no port that counts as TCP: nothing to say",
    services: { web: ["http 80", "odd 81"] },
    spec: DENY,
    expect: [],
  },
  {
    name: "a DENY of requests alone refuses HTTP and nothing else on TCP ports, whoever made them so",
    services: { web: ["http 80", "tcp-db 5432", "tls 8443"] },
    pods: { web: "7000, 8443" },
    spec: DENY,
    expect: [
      "spec.rules[0] (about requests alone) refuses whatever begins like HTTP, and nothing else, on TCP ports 5432 (by service shop/web), 7000 (by the annotation of pod shop/web), 8443 (by service shop/web, the annotation of pod shop/web): if HTTP is spoken there, let its service say so; else say whom or which ports the rule is about",
    ],
  },
  {
    name: "a DENY that says whom it is about, or which ports, has an L4 part",
    services: { web: ["tcp-db 5432"] },
    spec: {
      action: "DENY",
      rules: [
        { from: [{ source: { namespaces: ["street"] } }], to: [{ operation: { methods: ["POST"] } }] },
        { to: [{ operation: { methods: ["POST"], ports: ["5432"] } }] },
        { from: [{ source: { namespaces: ["street"] } }] },
      ],
    },
    expect: [],
  },
  {
    name: "a DENY of which an entry is about requests alone loses that entry",
    services: { web: ["tcp-db 5432"] },
    spec: {
      action: "DENY",
      rules: [{ to: [{ operation: { methods: ["POST"] } }, { operation: { ports: ["80"] } }] }],
    },
    expect: [
      "spec.rules[0] (about requests alone) refuses whatever begins like HTTP, and nothing else, on TCP ports 5432 (by service shop/web)",
    ],
  },
  {
    name: "ALLOW rules of requests never match there, and are told together; those of other ports and of connections are not",
    services: { web: ["tcp-db 5432"] },
    spec: {
      rules: [
        ...ALLOW.rules,
        { to: [{ operation: { paths: ["/x"], ports: ["5432"] } }] },
        { to: [{ operation: { paths: ["/x"], ports: ["80"] } }] },
        { to: [{ operation: { paths: ["/x"], notPorts: ["5432"] } }] },
        { to: [{ operation: { ports: ["5432"] } }] },
        { when: [{ key: "request.headers[x]", values: ["y"] }] },
      ],
    },
    expect: [
      "spec.rules[0], spec.rules[1], spec.rules[5] (about requests alone) cannot let anybody in on TCP ports 5432 (by service shop/web): who is to get in there",
    ],
  },
  {
    name: "what only observes decides nothing anywhere",
    services: { web: ["tcp-db 5432"] },
    spec: { ...DENY, action: "AUDIT" },
    expect: [],
  },
  {
    name: "services that declare a port differently: HTTP wins",
    services: { web: ["http 80"], raw: ["tcp 80"] },
    spec: DENY,
    expect: [
      "port 80 is TCP by service shop/raw and HTTP by service shop/web: HTTP wins, so it goes through the waypoint",
    ],
  },
  {
    name: "a port that one service declares TCP and another not at all goes through the waypoint",
    services: { web: ["odd 80"], raw: ["tcp 80"] },
    spec: DENY,
    expect: [
      "port 80 is TCP by service shop/raw and undeclared by service shop/web: it goes through the waypoint",
    ],
  },
  {
    name: "an annotation on a port that a service declares HTTP: HTTP wins",
    services: { web: ["http 80"] },
    namespace: "80",
    spec: DENY,
    expect: ["port 80 is TCP by the annotation of namespace shop and HTTP by service shop/web: HTTP wins"],
  },
  {
    name: "an annotation that cannot be read is named and excludes nothing",
    services: { web: ["odd 80"] },
    pods: { web: "80;81" },
    spec: DENY,
    expect: [
      `pod shop/web: metadata.annotations ${EXCLUDE} has "80;81" where a port from 1 to 65535 belongs; it excludes nothing`,
    ],
  },
  {
    name: "many ports are counted, not told",
    services: { web: Array.from({ length: 8 }, (_, i) => `tcp-${i} ${9_000 + i}`) },
    spec: DENY,
    expect: [
      "9000 (by service shop/web), 9001 (by service shop/web), 9002 (by service shop/web), 9003 (by service shop/web), 9004 (by service shop/web) and 3 more: ",
    ],
  },
  {
    name: "targets: callers of TCP ports are not judged at all",
    services: { web: ["http 80", "tcp-db 5432"], other: ["tcp 6000"] },
    spec: { targetRefs: [{ kind: "Service", group: "", name: "web" }], ...DENY },
    expect: [
      "who calls TCP ports 5432 (by service shop/web) goes past the waypoint and is not judged by it: for these use a selector instead of targetRefs",
    ],
  },
  {
    name: "a target with TCP ports alone: the policy judges nothing",
    services: { web: ["tcp-db 5432"] },
    spec: { targetRefs: [{ kind: "Service", group: "", name: "web" }], ...DENY },
    expect: ["who calls TCP ports 5432"],
    judgesNothing: true,
  },
];

for (const { expect, judgesNothing = false, ...given } of CASES) {
  test(given.name, () => {
    const { notes, judgesNothing: nothing } = report(given);
    assert.equal(notes.length, expect.length, notes.join("\n"));
    for (const [i, text] of expect.entries())
      assert.ok(notes[i]?.includes(text), `${notes[i]}\nlacks ${text}`);
    assert.equal(nothing, judgesNothing);
  });
}

test("notes are bounded however many pods and services disagree, in one order", () => {
  const names = Array.from({ length: 30 }, (_, i) => `s${String(i).padStart(2, "0")}`);
  const given = {
    services: Object.fromEntries([
      ...names.map((name, i) => [name, [`http ${7_000 + i}`]] as const),
      ["raw", names.map((_, i) => `tcp-${i} ${7_000 + i}`)],
    ]),
    spec: DENY,
  };
  const { notes } = report(given);
  assert.equal(notes.length, 6);
  assert.match(notes[0] ?? "", /^port 7000 /);
  assert.equal(notes[5], "and 25 more notes about ports");
  assert.deepEqual(report(given), report(given));
});

function report({
  services = {},
  pods = ONE_POD,
  namespace,
  spec,
}: Omit<Case, "name" | "expect">): PortReport {
  const annotated = (value: string | undefined): object => (value === undefined ? {} : { [EXCLUDE]: value });
  const mesh = { "istio.io/dataplane-mode": "ambient" };
  const objects = [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "shop", labels: mesh, annotations: annotated(namespace) },
    },
    ...Object.entries(pods).map(([name, value]) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "shop", labels: { app: "web" }, annotations: annotated(value) },
      spec: { serviceAccountName: "web", nodeName: "n1" },
      status: { phase: "Running", podIPs: [{ ip: "10.0.0.1" }] },
    })),
    ...Object.entries(services).map(([name, ports]) => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "shop" },
      spec: {
        selector: { app: "web" },
        ports: ports.map((text) => ({ name: text.split(" ")[0], port: Number(text.split(" ")[1]) })),
      },
    })),
    {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "p", namespace: "shop", generation: 1 },
      spec,
    },
  ];
  const sources = new Sources();
  const scheduler = new Scheduler();
  const index = new MeshIndex(sources, testMeshConfig, scheduler);
  const loaded = loadYaml(objects.map((object) => JSON.stringify(object)).join("\n---\n"), sources);
  assert.deepEqual(loaded.ok ? [] : loaded.problems, []);
  scheduler.run();
  const policy = index.policies.authorizationPolicies.get("shop/p");
  assert.ok(policy !== undefined);
  return portReport(policy, [...index.waypoints.pods.values()]);
}
