/**
 * The controller's own code makes, changes and removes waypoints on an API server with its roles and fences in force: what it needs
 * it may do, and objects that somebody else made under the name stop it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { projectCustom } from "#core/k8s/project.ts";
import { type WaypointApi, waypointApi } from "#controller/waypoints/objects/waypoint-api.ts";
import { readWaypointGateway, type WaypointGateway } from "#controller/waypoints/gateway/waypoint-gateway.ts";
import { NO_RECORD } from "#controller/waypoints/gateway/waypoint-record.ts";
import { FencedApi, gateway, PATHS } from "./testing/fenced-api.ts";

let fenced: FencedApi;
let waypoints: WaypointApi;
let image = "ambit/waypoint";
before(async () => {
  fenced = await FencedApi.start({ waypoints: [] });
  waypoints = waypointApi(fenced.controllerClient(), () => ({
    image,
    clusterId: "Kubernetes",
    network: "",
    trustDomain: "cluster.local",
    trustDomainAliases: [],
    controllerAddress: "https://istiod.istio-system.svc:15012",
  }));
});
after(() => fenced?.api.close());

async function read(name: string): Promise<WaypointGateway> {
  const answer = await fenced.api.request("GET", `${PATHS.gateways}/${name}`);
  return readWaypointGateway(projectCustom(answer.body)) ?? assert.fail(answer.text);
}

async function sizeAndImageOf(name: string): Promise<readonly unknown[]> {
  const answer = await fenced.api.request("GET", `${PATHS.deployments}/${name}`);
  const { replicas, template } = jsonObject(answer.body["spec"]);
  const { containers } = jsonObject(jsonObject(template)["spec"]);
  return [replicas, jsonObject(jsonList(containers)[0])["image"]];
}

const podsOf = (name: string): string =>
  `${PATHS.pods}?labelSelector=gateway.networking.k8s.io/gateway-name=${name}`;

for (const name of ["ambit-waypoint", "edge"]) {
  test(`${name}: made, run, recorded, scaled by its namespace's owner, changed and as large as before`, async () => {
    if (name === "edge")
      await fenced.allowed({ verb: "POST", path: PATHS.gateways, body: gateway(name), by: "owner" });
    else await waypoints.createGateway("shop", NO_RECORD);
    const made = await read(name);
    assert.equal(made.automatic, name === "ambit-waypoint");
    const provision = await waypoints.provide(made);
    assert.ok(provision.kind === "provided");
    assert.match(provision.addresses.join(), /^10\.96\./);
    await fenced.until(podsOf(name), (answer) => jsonList(answer.body["items"]).length === 1);
    await waypoints.writeRecord(made, { deploymentUid: provision.deploymentUid, bindings: [] });
    assert.equal((await read(name)).record.deploymentUid, provision.deploymentUid);
    assert.deepEqual(await sizeAndImageOf(name), [1, image]);
    const path = `${PATHS.deployments}/${name}/scale`;
    await fenced.allowed({ verb: "PATCH", path, body: { spec: { replicas: 2 } }, by: "owner" });
    image = `ambit/waypoint:${name}`;
    assert.deepEqual(await waypoints.provide(made), provision);
    assert.deepEqual(await sizeAndImageOf(name), [2, image]);
  });
}

test("the automatic one is removed: its pods first, then the Gateway and all that is left", async () => {
  await waypoints.removePods(await read("ambit-waypoint"));
  await fenced.until(podsOf("ambit-waypoint"), (answer) => jsonList(answer.body["items"]).length === 0);
  await waypoints.deleteGateway(await read("ambit-waypoint"));
  for (const path of [PATHS.gateways, PATHS.services, PATHS.serviceaccounts])
    await fenced.untilGone(`${path}/ambit-waypoint`);
});

test("an account of the name that was there before is not taken", async () => {
  await fenced.allowed({
    verb: "POST",
    path: PATHS.serviceaccounts,
    body: { metadata: { name: "mine" } },
    by: "owner",
  });
  await fenced.allowed({ verb: "POST", path: PATHS.gateways, body: gateway("mine"), by: "owner" });
  assert.deepEqual(await waypoints.provide(await read("mine")), {
    kind: "taken",
    what: "ServiceAccount shop/mine",
  });
  const answer = await fenced.api.request("GET", `${PATHS.deployments}/mine`);
  assert.equal(answer.code, 404);
});
