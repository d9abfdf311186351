/** One pod between the automatic waypoint and those that people made, stage by stage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyKey } from "#core/model/ids.ts";
import type { WaypointChoice } from "../../translate/waypoint-choice.ts";
import { type Binding, type Stage, STAGES } from "../binding/binding.ts";
import type { Attached } from "./object-place.ts";
import { podPlace, type PodPlaceFacts } from "./pod-place.ts";
import type { ServedTraffic, WaypointGateway } from "../gateway/waypoint-gateway.ts";

const OWN: WaypointChoice = { kind: "explicit", namespace: "shop", name: "own", carrier: "namespace shop" };
const NONE: WaypointChoice = { kind: "automatic" };

function attached(stage: Stage, serves: ServedTraffic = "service"): Attached {
  const gateway: WaypointGateway = {
    key: "shop/own",
    namespace: "shop",
    name: "own",
    uid: "uid",
    resourceVersion: "1",
    generation: 1,
    automatic: false,
    serves,
    admits: { kind: "same" },
    deleting: false,
    record: { deploymentUid: "uid", bindings: [] },
    lost: undefined,
    conditions: [],
    problems: [],
  } as unknown as WaypointGateway;
  return { gateway, attachment: { carrier: "namespace shop", stage, sinceMs: 0 } };
}

const binding = (stage: Stage): Binding => ({
  policy: "shop/p" as PolicyKey,
  field: "spec",
  scope: { kind: "workloads", labels: {} },
  stage,
  sinceMs: 0,
});

/** Waypoint in force, `!` when nobody else may come, `+own` who may beside it, `L4` when ztunnels apply HTTP policies as far as they can. */
function place(given: Partial<PodPlaceFacts>): string {
  const { gateway, pushes, spared, takesL4Forms } = podPlace({
    namespace: "shop",
    standing: "automatic",
    choices: [NONE],
    refusal: undefined,
    attached: [],
    bindings: [],
    ...given,
  });
  const others = spared.map(({ name }) => `+${name}`).join("");
  return [
    gateway?.replace("shop/ambit-waypoint", "auto") ?? "-",
    pushes.denies ? `!${others}` : "",
    takesL4Forms || pushes.l4Forms.size > 0 ? " L4" : "",
  ].join("");
}

test("the automatic one alone", () => {
  assert.equal(place({}), "-");
  assert.equal(place({ bindings: [binding("draining")] }), "auto");
  assert.equal(place({ bindings: [binding("enforced")] }), "auto! L4");
});

test("its services go over to one that serves services: the pod is let go of last", () => {
  const at = (stage: Stage): string =>
    place({
      standing: "explicit",
      choices: [OWN, OWN],
      refusal: "UnsupportedTrafficType",
      attached: [attached(stage)],
      bindings: [binding("enforced")],
    });
  assert.equal(at("starting"), "auto! L4");
  for (const stage of ["exempting", "binding", "draining"] as const) assert.equal(at(stage), "auto!+own L4");
  assert.equal(at("denying"), "auto L4");
  assert.equal(at("enforced"), "- L4");
});

test("it goes over itself to one that serves pods", () => {
  const at = (stage: Stage): string =>
    place({
      standing: "explicit",
      choices: [OWN],
      attached: [attached(stage, "all")],
      bindings: [binding("enforced")],
    });
  assert.equal(at("starting"), "auto! L4");
  assert.equal(at("exempting"), "auto!+own L4");
  assert.equal(at("binding"), "shop/own!+own L4");
  assert.equal(at("denying"), "shop/own L4");
  assert.equal(at("enforced"), "shop/own L4");
});

test("back to the automatic one: HTTP policies apply as far as ztunnels can until the waypoint judges by them", () => {
  const at = (own: Stage, automatic: Stage): string =>
    place({ attached: [attached(own)], bindings: [binding(automatic)] });
  assert.equal(at("enforced", "starting"), "- L4");
  assert.equal(at("enforced", "binding"), "auto L4");
  assert.equal(at("enforced", "denying"), "auto!+own L4");
  assert.equal(at("resting", "enforced"), "auto!+own L4");
});

test("named, and not there: callers of the pod wait for it", () => {
  assert.equal(place({ standing: "explicit", choices: [OWN], refusal: "WaypointNotFound" }), "shop/own L4");
  assert.equal(
    place({
      standing: "explicit",
      choices: [OWN],
      refusal: "WaypointNotFound",
      bindings: [binding("enforced")],
    }),
    "auto! L4",
    "unless another one came before",
  );
});

test("whoever opts out is let go of at once", () => {
  const out: WaypointChoice = { kind: "opted-out", by: "service shop/catalog" };
  const both: PodPlaceFacts["choices"] = [OWN, out];
  assert.equal(
    place({
      standing: "explicit",
      choices: both,
      refusal: "UnsupportedTrafficType",
      bindings: [binding("enforced")],
    }),
    "- L4",
  );
  assert.equal(place({ standing: "none", choices: [out], bindings: [binding("enforced")] }), "- L4");
});

test("in no stage is the pod open that both waypoints close", () => {
  for (const stage of STAGES) {
    const seen = place({
      standing: "explicit",
      choices: [OWN],
      attached: [attached(stage, "all")],
      bindings: [binding("enforced")],
    });
    assert.notEqual(seen.startsWith("-"), true, stage);
  }
});
