/** What is wished, held and succeeded when labels change: objects and records in, one line per carrier out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyKey } from "#core/model/ids.ts";
import { ANNOTATION_BINDING, AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import type { Attachment } from "./attachment.ts";
import type { Stage, WantedBinding } from "../binding/binding.ts";
import { attachmentNeeds } from "./takeovers.ts";
import { readWaypointGateway, type WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { formatRecord } from "../gateway/waypoint-record.ts";

const WISH: WantedBinding = {
  policy: "shop/p" as PolicyKey,
  field: "spec",
  scope: { kind: "workloads", labels: {} },
};

interface World {
  /** Labels of the namespace, the service and the pod; "" for none. */
  readonly namespace?: string;
  readonly service?: string;
  readonly pod?: string;
  /** By Gateway: attachments, `carrier=stage`; of the automatic one the stage of its binding. `lost`: a record that nobody can read. */
  readonly gateways: Readonly<Record<string, string>>;
  /** Policies need the automatic one. */
  readonly wanted?: boolean;
}

function needsOf({ namespace = "", service = "", pod = "", gateways, wanted = false }: World): string {
  const sources = new Sources();
  const use = (name: string): string => (name === "" ? "" : `istio.io/use-waypoint: ${name}`);
  const loaded = loadYaml(
    `{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { ${use(namespace)} } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: catalog, namespace: shop, labels: { ${use(service)} } }, spec: { ports: [] } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: catalog, namespace: shop, labels: { ${use(pod)} } }, spec: {}, status: { phase: Running } }
${Object.entries(gateways).map(gatewayYaml).join("")}`,
    sources,
  );
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const read = [...sources.gateways.values()].flatMap((object) => readWaypointGateway(object) ?? []);
  const needs = attachmentNeeds({
    namespaces: new Map(sources.namespaces.entries()),
    services: new Map(sources.services.entries()),
    pods: sources.pods.values(),
    gateways: new Map(read.map((gateway): [string, WaypointGateway] => [gateway.key, gateway])),
    wanted: new Map(wanted ? [["shop", [WISH]]] : []),
  });
  return [...needs]
    .flatMap(([key, of]) => [
      ...[...of.wanted].map(
        (carrier) => `${key} ${of.succeeding.has(carrier) ? "succeeds in" : "serves"} ${carrier}`,
      ),
      ...[...of.held].map((carrier) => `${key} is held in ${carrier}`),
    ])
    .toSorted()
    .join("; ");
}

function gatewayYaml([name, text]: readonly [string, string]): string {
  const stage = name === AUTOMATIC_WAYPOINT && text !== "lost" ? (text as Stage) : undefined;
  const attached = text.split(",").flatMap((one): readonly Attachment[] => {
    const [carrier = "", of = ""] = one.split("=");
    return of === "" ? [] : [{ carrier, stage: of as Stage, sinceMs: 0 }];
  });
  const record = formatRecord({
    deploymentUid: "uid",
    bindings: stage === undefined ? [] : [{ ...WISH, stage, sinceMs: 0 }],
    attached: name === AUTOMATIC_WAYPOINT ? [] : attached,
  });
  return `---
{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ${name}, namespace: shop,
  annotations: { ${ANNOTATION_BINDING}: '${text === "lost" ? "{" : record}' } }, spec: { gatewayClassName: istio-waypoint, listeners: [] } }
`;
}

const ROWS: readonly (readonly [what: string, world: World, expected: string])[] = [
  ["no label", { gateways: { own: "" } }, ""],
  ["the first label", { namespace: "own", gateways: { own: "" } }, "shop/own serves namespace shop"],
  ["a label that names what is not there", { namespace: "onw", gateways: { own: "" } }, ""],
  ["a label for nobody", { namespace: "none", gateways: { own: "" } }, ""],
  [
    "labels everywhere",
    { namespace: "own", service: "own", pod: "own", gateways: { own: "" } },
    "shop/own serves namespace shop; shop/own serves pods shop; shop/own serves service shop/catalog",
  ],
  [
    "a label while the automatic one starts",
    { namespace: "own", gateways: { own: "", "ambit-waypoint": "starting" } },
    "shop/own serves namespace shop",
  ],
  [
    "a label while the automatic one is in force",
    { namespace: "own", gateways: { own: "", "ambit-waypoint": "enforced" } },
    "shop/own succeeds in namespace shop",
  ],
  [
    "another name, and the other one is not ready",
    { namespace: "new", gateways: { own: "namespace shop=enforced", new: "" } },
    "shop/new succeeds in namespace shop; shop/own is held in namespace shop",
  ],
  [
    "another name, and the other one drains what was there",
    { namespace: "new", gateways: { own: "namespace shop=enforced", new: "namespace shop=draining" } },
    "shop/new succeeds in namespace shop; shop/own is held in namespace shop",
  ],
  [
    "another name, and the other one is in force",
    { namespace: "new", gateways: { own: "namespace shop=enforced", new: "namespace shop=denying" } },
    "shop/new succeeds in namespace shop",
  ],
  [
    "another name, of what is not there",
    { namespace: "onw", gateways: { own: "namespace shop=enforced" } },
    "shop/own is held in namespace shop",
  ],
  ["no label any more, and nothing needs a waypoint", { gateways: { own: "namespace shop=enforced" } }, ""],
  [
    "no label any more, and the automatic one is not there",
    { gateways: { own: "namespace shop=enforced" }, wanted: true },
    "shop/own is held in namespace shop",
  ],
  [
    "no label any more, and the automatic one drains what was there",
    { gateways: { own: "namespace shop=enforced", "ambit-waypoint": "draining" }, wanted: true },
    "shop/own is held in namespace shop",
  ],
  [
    "no label any more, and the automatic one refuses others",
    { gateways: { own: "namespace shop=enforced", "ambit-waypoint": "denying" }, wanted: true },
    "",
  ],
  [
    "the label says that nobody is wanted",
    { namespace: "none", gateways: { own: "namespace shop=enforced" }, wanted: true },
    "",
  ],
  [
    "a service's own label goes, and the namespace's names another one",
    { namespace: "new", gateways: { own: "service shop/catalog=enforced", new: "namespace shop=binding" } },
    "shop/new succeeds in namespace shop; shop/own is held in service shop/catalog",
  ],
  ["a service that is gone", { gateways: { own: "service shop/gone=enforced" }, wanted: true }, ""],
  ["a namespace that is gone", { gateways: { own: "namespace other=enforced" }, wanted: true }, ""],
  [
    "one that is leaving is not called back",
    { gateways: { own: "namespace shop=unbinding" }, wanted: true },
    "",
  ],
  [
    "a record that is lost may have had the whole namespace",
    { gateways: { own: "lost" }, wanted: true },
    "shop/own is held in namespace shop",
  ],
];

for (const [what, world, expected] of ROWS) test(what, () => assert.equal(needsOf(world), expected));
