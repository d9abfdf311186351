/** The fence around the controller's own account (deploy/31-admission-waypoints.yaml): a stolen token of it is not every account of the cluster. */
import { after, before, describe, test } from "node:test";
import {
  type Asked,
  CONTAINER,
  FencedApi,
  gateway,
  type Json,
  PATHS,
  podSpec,
  RECORD,
  type Verb,
} from "./testing/fenced-api.ts";

let fenced: FencedApi;
before(async () => {
  fenced = await FencedApi.start();
  const labels = { app: "plain" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "a", image: "a" }] } };
  const body = { metadata: { name: "plain" }, spec: { selector: { matchLabels: labels }, template } };
  await fenced.allowed({ verb: "POST", path: PATHS.deployments, body, by: "owner" });
});
after(() => fenced?.api.close());

const by = (verb: Verb, path: string, body?: unknown): Asked => ({ verb, path, body, by: "controller" });

describe("the controller's account", { concurrency: false }, () => {
  const withPod = (spec: Json): Asked =>
    by("APPLY", `${PATHS.deployments}/edge`, fenced.deployment("edge", spec));
  const container = (extra: Json): Json => podSpec("edge", { containers: [{ ...CONTAINER, ...extra }] });
  const secret = { name: "x", valueFrom: { secretKeyRef: { name: "s", key: "k" } } };
  const context = (extra: Json): Json => ({ securityContext: { ...CONTAINER.securityContext, ...extra } });

  const forbidden: readonly (readonly [string, () => Asked, RegExp])[] = [
    [
      "a Deployment of no Gateway",
      () => by("POST", PATHS.deployments, { ...fenced.deployment("edge"), metadata: { name: "free" } }),
      /belong to the Gateway/,
    ],
    [
      "a Deployment named otherwise than its Gateway",
      () =>
        by("POST", PATHS.deployments, {
          ...fenced.deployment("edge"),
          metadata: { ...fenced.named("edge").metadata, name: "other" },
        }),
      /belong to the Gateway/,
    ],
    [
      "a Service of no Gateway",
      () => by("POST", PATHS.services, { metadata: { name: "free" }, spec: { ports: [{ port: 1 }] } }),
      /belong to the Gateway/,
    ],
    [
      "an account of no Gateway",
      () => by("POST", PATHS.serviceaccounts, { metadata: { name: "free" } }),
      /belong to the Gateway/,
    ],
    [
      "the deletion of somebody's Deployment",
      () => by("DELETE", `${PATHS.deployments}/plain`),
      /belong to the Gateway/,
    ],
    [
      "taking over somebody's Deployment",
      () => by("PATCH", `${PATHS.deployments}/plain`, fenced.named("plain")),
      /belong to the Gateway/,
    ],
    ["a Gateway of another name", () => by("POST", PATHS.gateways, gateway("other")), /no Gateways but/],
    ["the deletion of an explicit Gateway", () => by("DELETE", `${PATHS.gateways}/edge`), /no Gateways but/],
    [
      "a change of an explicit Gateway",
      () => by("PATCH", `${PATHS.gateways}/edge`, { spec: { gatewayClassName: "x" } }),
      /no Gateways but/,
    ],
    ["another account", () => withPod(podSpec("catalog")), /named as it is/],
    ["the node's network", () => withPod(podSpec("edge", { hostNetwork: true })), /no privilege/],
    ["the node's processes", () => withPod(podSpec("edge", { hostPID: true })), /no privilege/],
    [
      "an init container",
      () => withPod(podSpec("edge", { initContainers: [{ ...CONTAINER, name: "init" }] })),
      /no privilege/,
    ],
    ["root", () => withPod(podSpec("edge", { securityContext: {} })), /no privilege/],
    ["root in the container", () => withPod(container(context({ runAsUser: 0 }))), /no privilege/],
    [
      "a privileged container",
      () => withPod(container(context({ privileged: true, allowPrivilegeEscalation: true }))),
      /no privilege/,
    ],
    [
      "an added capability",
      () => withPod(container(context({ capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } }))),
      /no privilege/,
    ],
    [
      "capabilities that stay",
      () => withPod(container({ securityContext: { allowPrivilegeEscalation: false } })),
      /no privilege/,
    ],
    [
      "a file of the node",
      () => withPod(podSpec("edge", { volumes: [{ name: "h", hostPath: { path: "/" } }] })),
      /no secret and no file/,
    ],
    [
      "a secret as a file",
      () => withPod(podSpec("edge", { volumes: [{ name: "s", secret: { secretName: "s" } }] })),
      /no secret and no file/,
    ],
    [
      "a projected secret",
      () =>
        withPod(
          podSpec("edge", { volumes: [{ name: "s", projected: { sources: [{ secret: { name: "s" } }] } }] }),
        ),
      /no secret and no file/,
    ],
    ["a secret in the environment", () => withPod(container({ env: [secret] })), /no secret and no file/],
    [
      "all of a secret in the environment",
      () => withPod(container({ envFrom: [{ secretRef: { name: "s" } }] })),
      /no secret and no file/,
    ],
  ];
  for (const [what, asked, why] of forbidden) test(`is refused ${what}`, () => fenced.refused(asked(), why));

  test("writes its record on an explicit Gateway, and status", async () => {
    const annotations = { "ambit.io/binding": RECORD };
    await fenced.allowed(by("PATCH", `${PATHS.gateways}/edge`, { metadata: { annotations } }));
    await fenced.allowed(
      by("PATCH", `${PATHS.gateways}/edge/status`, { status: { attachedListenerSets: 0 } }),
    );
  });

  test("changes a waypoint's pods within that", async () => {
    const projected = { sources: [{ serviceAccountToken: { path: "istio-token", audience: "istio-ca" } }] };
    await fenced.allowed(
      withPod(
        podSpec("edge", {
          volumes: [
            { name: "token", projected },
            { name: "tmp", emptyDir: {} },
          ],
        }),
      ),
    );
  });

  test("removes the automatic waypoint, and everything of it goes with it", async () => {
    await fenced.allowed(by("DELETE", `${PATHS.gateways}/ambit-waypoint`));
    for (const path of [PATHS.deployments, PATHS.services, PATHS.serviceaccounts])
      await fenced.untilGone(`${path}/ambit-waypoint`);
    await fenced.podsOf("ambit-waypoint", (pods) => pods.length === 0);
  });
});
