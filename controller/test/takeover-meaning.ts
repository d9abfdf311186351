/** What the real graph makes of one label and the records of three waypoints, for `takeover-model.ts`. */
import type { PolicyKey } from "#core/model/ids.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { Scheduler } from "../collections/scheduler.ts";
import { MeshIndex } from "../mesh-index.ts";
import { loadYaml } from "../source/file-source.ts";
import { Sources } from "../sources.ts";
import type { Stage, WantedBinding } from "../waypoints/binding/binding.ts";
import type { AskedOfGateway } from "../waypoints/loop/next-step.ts";
import { needsWaypoint, type NeedFacts } from "../waypoints/needs/needs-waypoint.ts";
import { attachmentNeeds, isAttached } from "../waypoints/takeover/takeovers.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import { formatRecord } from "../waypoints/gateway/waypoint-record.ts";
import { testMeshConfig } from "./builders.ts";

/** The automatic one, and two that people made. */
export const WAYPOINTS = ["auto", "own", "new"] as const;
export type Waypoint = (typeof WAYPOINTS)[number];

/** What the namespace's label names ("auto": there is none), and how far each waypoint has got. */
export interface Wish {
  readonly label: Waypoint;
  readonly stages: Readonly<Record<Waypoint, Stage | "none">>;
}

export interface Meaning {
  /** Where sources send callers of the service. */
  readonly via: Waypoint | "nowhere";
  /** Waypoints that may come to the pod; undefined: anybody. */
  readonly admits: readonly Waypoint[] | undefined;
  /** Waypoints that judge requests to the service. */
  readonly judges: readonly Waypoint[];
  readonly gateways: Readonly<Record<Waypoint, WaypointGateway>>;
  readonly asked: Readonly<Record<Waypoint, AskedOfGateway>>;
}

export function wishKey({ label, stages }: Wish): string {
  return `${label} ${stages.auto} ${stages.own} ${stages.new}`;
}

const known = new Map<string, Meaning>();

export function meaningOf(wish: Wish): Meaning {
  const key = wishKey(wish);
  const meaning = known.get(key) ?? compute(wish);
  known.set(key, meaning);
  return meaning;
}

const NAMES: Readonly<Record<Waypoint, string>> = { auto: AUTOMATIC_WAYPOINT, own: "own", new: "new" };
const POLICY = "shop/p" as PolicyKey;
const SCOPE = { kind: "services", names: ["catalog"] } as const;

function compute({ label, stages }: Wish): Meaning {
  const sources = new Sources();
  const scheduler = new Scheduler();
  const index = new MeshIndex(sources, testMeshConfig, scheduler);
  const loaded = loadYaml(
    [cluster(label), ...WAYPOINTS.map((one) => gateway(one, stages[one]))].join("\n---\n"),
    sources,
  );
  if (!loaded.ok || !scheduler.run()) throw new Error(JSON.stringify(loaded));
  const { waypoints, policies } = index;
  const service = waypoints.services.get("shop/catalog");
  const pod = waypoints.pods.get("shop/catalog");
  if (service === undefined || pod === undefined) throw new Error("nothing was derived");
  const gateways = new Map(waypoints.gateways.entries());
  const facts: NeedFacts = {
    rootNamespace: "istio-system",
    enrolment: { systemNamespace: "istio-system", excludedNamespaces: [] },
    policies: [...policies.authorizationPolicies.values()],
    namespaces: [...sources.namespaces.values()],
    pods: [...sources.pods.values()],
    services: [...sources.services.values()],
    isWaypointPod: () => false,
    explicitWaypoints: new Set(["shop/own", "shop/new"]),
    immediately: () => false,
  };
  const { namespaces: wanted } = needsWaypoint(facts);
  const held = needsWaypoint({ ...facts, counts: (choice) => isAttached(choice, gateways) }).namespaces;
  const attachments = attachmentNeeds({
    namespaces: new Map(sources.namespaces.entries()),
    services: new Map(sources.services.entries()),
    pods: facts.pods,
    gateways,
    wanted,
  });
  const of = (map: ReadonlyMap<string, readonly WantedBinding[]>): readonly WantedBinding[] =>
    map.get("shop") ?? [];
  return {
    via: shortName(service.inForce),
    admits: pod.pushes.denies
      ? ["auto", ...pod.spared.map(({ key }) => shortName(key) as Waypoint)]
      : undefined,
    judges: service.judges.map((key) => shortName(key) as Waypoint),
    gateways: each((one) => gateways.get(`shop/${NAMES[one]}`) as WaypointGateway),
    asked: each((one) => ({
      wanted: of(wanted),
      held: of(held),
      attachments: attachments.get(`shop/${NAMES[one]}`),
    })),
  };
}

function each<T>(make: (one: Waypoint) => T): Readonly<Record<Waypoint, T>> {
  return { auto: make("auto"), own: make("own"), new: make("new") };
}

function shortName(key: string | undefined): Waypoint | "nowhere" {
  return WAYPOINTS.find((one) => key === `shop/${NAMES[one]}`) ?? "nowhere";
}

function cluster(label: Waypoint): string {
  const use = label === "auto" ? "" : `, istio.io/use-waypoint: ${label}`;
  return `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient${use} } } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: catalog, namespace: shop, labels: { app: catalog } },
  spec: { serviceAccountName: catalog, nodeName: n1 }, status: { phase: Running, podIPs: [{ ip: 10.0.0.1 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: catalog, namespace: shop },
  spec: { clusterIPs: [10.96.0.1], selector: { app: catalog }, ports: [{ port: 80 }] } }
---
{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: { name: p, namespace: shop, generation: 1 },
  spec: { targetRefs: [{ group: "", kind: Service, name: catalog }], action: DENY, rules: [{ to: [{ operation: { methods: [POST] } }] }] } }`;
}

function gateway(one: Waypoint, stage: Stage | "none"): string {
  const isAutomatic = one === "auto";
  const record = formatRecord({
    deploymentUid: "uid",
    bindings:
      isAutomatic && stage !== "none"
        ? [{ policy: POLICY, field: "spec", scope: SCOPE, stage, sinceMs: 0 }]
        : [],
    attached: isAutomatic || stage === "none" ? [] : [{ carrier: "namespace shop", stage, sinceMs: 0 }],
  });
  return `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ${NAMES[one]}, namespace: shop,
  annotations: { ambit.io/binding: '${record}' } }, spec: { gatewayClassName: istio-waypoint, listeners: [] } }`;
}
