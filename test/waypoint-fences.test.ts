/**
 * deploy/31-admission-waypoints.yaml: what the owner of a namespace, with all rights in it, cannot do to its waypoints. The Deployment and
 * ReplicaSet controllers run, so that a waypoint comes up through the fences all the same.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import {
  type Asked,
  CONTAINER,
  FencedApi,
  gateway,
  type Json,
  LABEL,
  PATHS,
  podSpec,
  RECORD,
  type Verb,
} from "./testing/fenced-api.ts";

let fenced: FencedApi;
before(async () => {
  fenced = await FencedApi.start();
});
after(() => fenced?.api.close());

const by = (verb: Verb, path: string, body?: unknown): Asked => ({ verb, path, body, by: "owner" });

for (const name of ["ambit-waypoint", "edge"]) {
  describe(`the owner of the namespace and the waypoint ${name}`, { concurrency: false }, () => {
    test("makes no pod under its account, not even with the labels and owner of a real one", async () => {
      const set = jsonObject((await fenced.replicaSetOf(name))["metadata"]);
      const reference = {
        apiVersion: "apps/v1",
        kind: "ReplicaSet",
        name: set["name"],
        uid: set["uid"],
        controller: true,
      };
      for (const ownerReferences of [[], [reference]]) {
        const metadata = { name: "forged", labels: set["labels"], ownerReferences };
        await fenced.refused(
          by("POST", PATHS.pods, { metadata, spec: podSpec(name) }),
          /made by its Deployment alone/,
        );
      }
    });

    test("changes neither image nor containers of its pod, but may label it", async () => {
      const [pod] = await fenced.podsOf(name, (pods) => pods.length > 0);
      const path = `${PATHS.pods}/${jsonText(jsonObject(pod?.["metadata"])["name"])}`;
      const image = { spec: { containers: [{ ...CONTAINER, image: "evil" }] } };
      await fenced.refused(by("PATCH", path, image), /pod does not change/);
      await fenced.allowed(by("PATCH", path, { metadata: { labels: { seen: "yes" } } }));
    });

    test("makes no Deployment and no ReplicaSet for it", async () => {
      for (const [path, kind] of [
        [PATHS.deployments, "Deployment"],
        [PATHS.replicasets, "ReplicaSet"],
      ] as const) {
        const body = { ...fenced.deployment(name), kind, metadata: { name: "forged" } };
        await fenced.refused(by("POST", path, body), /made by the controller/);
      }
    });

    test("changes nothing of what its pods run, and scales and restarts them as any", async () => {
      const path = `${PATHS.deployments}/${name}`;
      const template = (spec: Json, metadata: Json = {}): Json => ({
        spec: { template: { metadata, spec } },
      });
      await fenced.refused(
        by("PATCH", path, template({ containers: [{ ...CONTAINER, image: "evil" }] })),
        /up to the controller/,
      );
      await fenced.refused(
        by("PATCH", path, template({ serviceAccountName: "default" })),
        /up to the controller/,
      );
      await fenced.refused(by("PATCH", path, template({}, { labels: { other: "x" } })), /labels and owners/);
      await fenced.refused(by("PATCH", path, { metadata: { ownerReferences: null } }), /labels and owners/);
      await fenced.allowed(by("PATCH", `${path}/scale`, { spec: { replicas: 2 } }));
      await fenced.allowed(
        by("PATCH", path, template({}, { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } })),
      );
      const set = await fenced.replicaSetOf(name);
      const setPath = `${PATHS.replicasets}/${jsonText(jsonObject(set["metadata"])["name"])}`;
      await fenced.refused(
        by("PATCH", setPath, template({ containers: [{ ...CONTAINER, image: "evil" }] })),
        /up to the controller/,
      );
      await fenced.podsOf(name, (pods) => pods.length >= 2);
    });

    test("neither takes the label from its account nor deletes it", async () => {
      const path = `${PATHS.serviceaccounts}/${name}`;
      await fenced.refused(
        by("PATCH", path, { metadata: { labels: { "gateway.istio.io/managed": null } } }),
        /up to the controller/,
      );
      await fenced.refused(
        by("PATCH", path, { metadata: { ownerReferences: null } }),
        /up to the controller/,
      );
      await fenced.refused(by("DELETE", path), /goes with its Gateway/);
      await fenced.allowed(by("PATCH", path, { metadata: { annotations: { note: "fine" } } }));
    });

    test("gets no token of its account, not even one that is bound to its pod", async () => {
      const [pod] = await fenced.podsOf(name, (pods) => pods.length > 0);
      const { name: podName, uid } = jsonObject(pod?.["metadata"]);
      const bound = { kind: "Pod", apiVersion: "v1", name: podName, uid };
      for (const boundObjectRef of [undefined, bound]) {
        const spec = { audiences: ["istio-ca"], ...(boundObjectRef && { boundObjectRef }) };
        const path = `${PATHS.serviceaccounts}/${name}/token`;
        await fenced.refused(by("POST", path, { spec }), /are for its pods alone/);
      }
      await fenced.allowed(by("POST", `${PATHS.serviceaccounts}/owner/token`, { spec: {} }));
    });

    test("does not write its Gateway's record", async () => {
      const record = { metadata: { annotations: { "ambit.io/binding": "{}" } } };
      await fenced.refused(
        by("PATCH", `${PATHS.gateways}/${name}`, record),
        /written by the controller alone/,
      );
      await fenced.allowed(by("PATCH", `${PATHS.gateways}/${name}`, { metadata: { labels: { a: "b" } } }));
    });
  });
}

describe("the reserved name", { concurrency: false }, () => {
  const path = `${PATHS.gateways}/ambit-waypoint`;

  test("an account or Gateway of it is made by nobody else, in no namespace", async () => {
    const spec = gateway("ambit-waypoint")["spec"];
    for (const [target, body] of [
      [`/api/v1/namespaces/istio-system/serviceaccounts`, { metadata: { name: "ambit-waypoint" } }],
      [
        PATHS.gateways.replace("shop", "istio-system"),
        { ...gateway("ambit-waypoint"), metadata: { name: "ambit-waypoint" }, spec },
      ],
    ] as const) {
      const answer = await fenced.api.request("POST", target, { body }); // by the administrator
      assert.equal(answer.code, 422, answer.text);
    }
  });

  test("a Gateway with a record is made by nobody else", async () => {
    const body = gateway("mine", { "ambit.io/binding": RECORD });
    await fenced.refused(by("POST", PATHS.gateways, body), /written by the controller alone/);
  });

  test("an account with the label is made by nobody else", async () => {
    const body = { metadata: { name: "mine", labels: LABEL } };
    await fenced.refused(by("POST", PATHS.serviceaccounts, body), /made by the controller/);
  });

  test("the automatic waypoint is changed and deleted by nobody else, since traffic would go past it", async () => {
    await fenced.refused(
      by("PATCH", path, { spec: { gatewayClassName: "other" } }),
      /make a Gateway of your own/,
    );
    await fenced.refused(by("DELETE", path), /delete those that its status names/);
    const reference = {
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "gone",
      uid: "5f0c7d0e-0000-4000-8000-000000000000",
    };
    const owned = { metadata: { ownerReferences: [reference] } };
    await fenced.refused(by("PATCH", path, owned), /take it away with itself/); // by way of the garbage collector
    await fenced.allowed({
      verb: "PATCH",
      path,
      body: { metadata: { annotations: { "ambit.io/binding": `${RECORD} ` } } },
      by: "controller",
    });
  });

  test("a Gateway of one's own is made, changed and deleted as any", async () => {
    await fenced.allowed(by("POST", PATHS.gateways, gateway("mine")));
    await fenced.allowed(by("PATCH", `${PATHS.gateways}/mine`, { spec: { gatewayClassName: "other" } }));
    await fenced.allowed(by("DELETE", `${PATHS.gateways}/mine`));
  });

  test("other pods, accounts and Deployments are not looked at", async () => {
    const bare = { containers: [{ name: "a", image: "a" }] };
    await fenced.allowed(
      by("POST", PATHS.pods, { metadata: { name: "plain", labels: { app: "edge" } }, spec: bare }),
    );
    await fenced.allowed(
      by("PATCH", `${PATHS.pods}/plain`, { spec: { containers: [{ name: "a", image: "b" }] } }),
    );
    const labels = { app: "plain" };
    const spec = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: bare } };
    await fenced.allowed(by("POST", PATHS.deployments, { metadata: { name: "plain" }, spec }));
  });
});

test("a namespace with waypoints can be deleted", async () => {
  assert.equal((await fenced.api.request("DELETE", "/api/v1/namespaces/shop")).code, 200);
  await fenced.untilGone("/api/v1/namespaces/shop");
});
