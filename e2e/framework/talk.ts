/**
 * The namespace `talk` of suites about waypoints: an application on n2 that speaks everything that goes over HTTP
 * (`local/samples/talk.ts`), callers on both nodes, and what has reached the application.
 */
import { ArrivalWatch } from "./l7-shop.ts";
import type { Mesh } from "./mesh.ts";
import { applyYaml, type PodFacts, runPod, runPods } from "./pods.ts";
import { enrol, type HandledPod, withHands } from "./shop.ts";

/** Its own addresses are of both families. */
const TALK = `
apiVersion: v1
kind: Namespace
metadata: { name: talk }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: server, namespace: talk }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: caller, namespace: talk }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: stranger, namespace: talk }
---
apiVersion: v1
kind: Service
metadata: { name: talk, namespace: talk }
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: { app: talk }
  ports:
    - { name: http, port: 80, targetPort: 8080 }
    - { name: http2, port: 81, targetPort: 8081 }
    - { name: grpc, port: 9000, targetPort: 9000 }
---
apiVersion: v1
kind: Service
metadata: { name: talk-each, namespace: talk }
spec:
  clusterIP: None
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: { app: talk }
  ports: [{ name: http, port: 8080, targetPort: 8080 }]
`;

/** A second namespace, whose application asks the talk for each of its pages. */
const DESK = `
apiVersion: v1
kind: Namespace
metadata: { name: desk }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: desk, namespace: desk }
---
apiVersion: v1
kind: Service
metadata: { name: desk, namespace: desk }
spec:
  selector: { app: desk }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
`;

export async function openDesk(mesh: Mesh): Promise<PodFacts> {
  await applyYaml(mesh.client, DESK);
  const pod = await runPod(mesh.client, {
    namespace: "desk",
    name: "desk",
    node: "n1",
    image: "ambit/sample-frontend",
    serviceAccount: "desk",
    container: {
      env: [{ name: "CATALOG_URL", value: "http://talk.talk/from-desk" }],
      readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 },
    },
  });
  await enrol(mesh, "desk");
  return pod;
}

/** What callers may ask the talk for, whatever speaks it. */
export const talkPolicy = (...paths: readonly string[]): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: talk, namespace: talk }
spec:
  selector: { matchLabels: { app: talk } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["cluster.local/ns/talk/sa/caller"] } }]
      to: [{ operation: { methods: [GET, POST], paths: ${JSON.stringify(paths)} } }]
`;

export interface Talk {
  /** On n2. */
  readonly server: HandledPod;
  /** On n2 as \`caller\`. */
  readonly near: HandledPod;
  /** On n1 as \`caller\`. */
  readonly far: HandledPod;
  /** On n1 as \`stranger\`. */
  readonly stranger: HandledPod;
  readonly arrivals: ArrivalWatch;
}

export async function openTalk(mesh: Mesh): Promise<Talk> {
  await applyYaml(mesh.client, TALK);
  const pod = (name: string, node: string, serviceAccount: string, image?: string) => ({
    namespace: "talk",
    name,
    node,
    serviceAccount,
    ...(image === undefined ? {} : { image }),
  });
  const probe = { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 };
  const facts = await runPods(mesh.client, [
    { ...pod("talk", "n2", "server", "ambit/sample-talk"), container: { readinessProbe: probe } },
    pod("near", "n2", "caller"),
    pod("far", "n1", "caller"),
    pod("stranger", "n1", "stranger"),
  ]);
  await enrol(mesh, "talk");
  const [server, near, far, stranger] = await Promise.all(facts.map((one) => withHands(mesh, one)));
  if (server === undefined || near === undefined || far === undefined || stranger === undefined)
    throw new Error("a pod of the talk is missing");
  return { server, near, far, stranger, arrivals: new ArrivalWatch(mesh, server) };
}
