/** Every sentence of the condition `Enforced`, kept in testdata/enforced-messages.txt as people read them. UPDATE_GOLDEN=1 renews it. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { STAGES } from "../binding/binding.ts";
import {
  auditText,
  behindText,
  dryRunText,
  explicitSelectorText,
  gapText,
  goesOnText,
  joiningText,
  missingText,
  noPodText,
  noRoomText,
  NOTHING_COVERED,
  noWaypointText,
  ONLY_TCP_COVERED,
  stageText,
  takeoverText,
  unmadeText,
  waysAroundText,
} from "./enforcement-text.ts";
import type { Gap } from "../needs/needs-waypoint.ts";

const WAYPOINT = "shop/ambit-waypoint";
const NODES = ["node n1", "node n2", "node n3", "node n4", "node n5", "node n6"];
const FIELD = "spec.rules[0].to[0].operation.methods";

const GAPS: readonly Gap[] = [
  { reason: "TargetNotFound", path: "spec.targetRefs[0]", what: "Service shop/catalog" },
  { reason: "UnsupportedTarget", path: "spec.targetRefs[1]", what: "ServiceEntry shop/outside" },
  { reason: "OptedOut", what: "namespace shop" },
  { reason: "HostNetwork", what: "pod shop/agent" },
  { reason: "NotEnrolled", what: "pod shop/legacy" },
];

const MESSAGES: readonly (readonly [string, string])[] = [
  ...STAGES.map((stage) => [stage, stageText(WAYPOINT, stage, undefined)] as const),
  ["no pod", stageText(WAYPOINT, "starting", { reason: "WaypointStarting", waitsFor: [] })],
  [
    "pod behind",
    stageText(WAYPOINT, "starting", { reason: "WaitingForWaypoint", waitsFor: ["pod shop/wp"] }),
  ],
  ["nodes behind", stageText(WAYPOINT, "binding", { reason: "WaitingForNode", waitsFor: NODES })],
  ["replica behind", stageText(WAYPOINT, "denying", { reason: "Publishing", waitsFor: ["replica c-1"] })],
  ["draining", stageText(WAYPOINT, "draining", { reason: "Draining", waitsFor: [] })],
  ["updating", behindText(WAYPOINT, 3, [])],
  ["updating, node behind", behindText(WAYPOINT, 3, ["node n1"])],
  ["no room", noRoomText(WAYPOINT)],
  [
    "not made",
    unmadeText(WAYPOINT, "Service shop/ambit-waypoint belongs to somebody else; delete or rename it"),
  ],
  ["explicit, by selector", explicitSelectorText("shop/own")],
  [
    "explicit, taking over",
    takeoverText("shop/own", "denying", { reason: "WaitingForNode", waitsFor: ["node n1"] }),
  ],
  ["explicit, not yet", goesOnText([WAYPOINT])],
  ["pods join", joiningText(["shop/catalog-1", "shop/catalog-2"])],
  ["explicit, not there", noWaypointText("shop/own")],
  ["explicit, no pod", noPodText("shop/own")],
  ...GAPS.map((gap) => [gap.reason, gapText(gap.reason, [gap])] as const),
  ["nothing", NOTHING_COVERED],
  ["TCP alone", ONLY_TCP_COVERED],
  ["ways around", waysAroundText(["shop/catalog-admin"])],
  ["dry run", dryRunText(WAYPOINT)],
  ["audit", auditText(WAYPOINT, FIELD)],
  ["node missing", missingText(NODES.slice(0, 2))],
];

test("sentences are those that were read last", () => {
  const file = new URL("testdata/enforced-messages.txt", import.meta.url);
  const text = MESSAGES.map(([what, message]) => `${what}: ${message}\n`).join("");
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
  assert.equal(text, readFileSync(file, "utf8"));
});

test("no sentence ends with a full stop, since more may follow, and none is empty", () => {
  for (const [what, message] of MESSAGES) assert.match(message, /[^.\s]$/, what);
});

test("names are bounded", () => {
  const { length } = stageText(WAYPOINT, "binding", {
    reason: "WaitingForNode",
    waitsFor: Array.from({ length: 5_000 }, (_, i) => `node n${i}`),
  });
  assert.ok(length < 400, String(length));
});
