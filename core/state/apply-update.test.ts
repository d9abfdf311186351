import assert from "node:assert/strict";
import { test } from "node:test";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "../model/well-known.ts";
import { anAuthorization, aService, aWorkload } from "../testing/builders.ts";
import { encodeAddress } from "../wire/address-codec.ts";
import { encodeAuthorization } from "../wire/authorization-codec.ts";
import type { XdsResource } from "../wire/xds-codec.ts";
import { applyUpdate } from "./apply-update.ts";
import { MeshState } from "./mesh-state.ts";

const resource = (name: string, body: Uint8Array, typeUrl: string = TYPE_URL_ADDRESS): XdsResource => ({
  name,
  version: "1",
  aliases: [],
  typeUrl,
  body,
});
const web = aWorkload();

test("a bad resource rejects only itself, by name, and what it would replace stays", () => {
  const state = new MeshState();
  state.commit({ upserts: [{ kind: "service", service: aService() }], removals: [] });
  const rejections = applyUpdate(state, {
    typeUrl: TYPE_URL_ADDRESS,
    resources: [
      resource("default/web.default.svc.cluster.local", Uint8Array.of(0xff, 1, 2)),
      resource(web.uid, encodeAddress(web)),
    ],
    removed: [],
  });
  assert.deepEqual(
    rejections.map((r) => r.name),
    ["default/web.default.svc.cluster.local"],
  );
  assert.equal(state.services.size, 1);
  assert.ok(state.workloads.get(web.uid));
  assert.equal(state.version, 2);
});

test("a resource without a body is rejected", () => {
  const update = {
    typeUrl: TYPE_URL_ADDRESS,
    resources: [{ ...resource("x", new Uint8Array()), typeUrl: "" }],
    removed: [],
  };
  assert.equal(applyUpdate(new MeshState(), update).length, 1);
});

test("an unknown type changes nothing and is no rejection", () => {
  const state = new MeshState();
  const body = encodeAddress(web);
  assert.deepEqual(
    applyUpdate(state, { typeUrl: "type.googleapis.com/x", resources: [resource("x", body)], removed: [] }),
    [],
  );
  assert.equal(state.version, 0);
});

test("removal of names never seen is fine; addresses and policies do not mix", () => {
  const state = new MeshState();
  const policy = anAuthorization({ name: "web" });
  applyUpdate(state, {
    typeUrl: TYPE_URL_AUTHORIZATION,
    resources: [resource("default/web", encodeAuthorization(policy), TYPE_URL_AUTHORIZATION)],
    removed: ["default/nothing"],
  });
  applyUpdate(state, { typeUrl: TYPE_URL_ADDRESS, resources: [], removed: ["default/web", "a/b/c"] });
  assert.equal(state.policies.size, 1);
  applyUpdate(state, { typeUrl: TYPE_URL_AUTHORIZATION, resources: [], removed: ["default/web"] });
  assert.equal(state.policies.size, 0);
});

test("a service that arrives after its endpoints finds them, and keeps them when it is described again", () => {
  const state = new MeshState();
  const service = aService();
  const member = aWorkload({
    services: new Map([["default/web.default.svc.cluster.local" as never, new Map()]]),
  });
  const apply = (...bodies: readonly Uint8Array[]): unknown =>
    applyUpdate(state, {
      typeUrl: TYPE_URL_ADDRESS,
      resources: bodies.map((b) => resource("r", b)),
      removed: [],
    });
  apply(encodeAddress(member));
  assert.deepEqual(state.services.stagedKeys(), ["default/web.default.svc.cluster.local"]);
  apply(encodeAddress(service));
  apply(encodeAddress({ ...service, canonical: false }));
  assert.equal(state.services.endpoints("default/web.default.svc.cluster.local" as never).size, 1);
  assert.deepEqual(state.services.stagedKeys(), []);
});
