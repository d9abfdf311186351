import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { linkProgram, parseBpfObject } from "#core/linux/bpf-object.ts";
import { encodeIntBtf, parseMapDefinitions } from "#core/linux/btf.ts";
import * as names from "../capture/kernel-names.ts";
import { BPF_SOURCE_HASH, CAPTURE_OBJECT_BASE64 } from "./objects.gen.ts";
import { bpfSourceHash } from "./source-hash.ts";

const object = Buffer.from(CAPTURE_OBJECT_BASE64, "base64");

test("the committed object belongs to the sources beside it", () => {
  assert.equal(BPF_SOURCE_HASH, bpfSourceHash(), "sources changed: run npm run gen:bpf");
});

test("the object has exactly the programs and maps that capture knows", () => {
  const parsed = parseBpfObject(object);
  assert.ok(parsed.ok);
  const programs = parsed.value.programs.map((p) => [p.name, p.section]);
  assert.deepEqual(Object.fromEntries(programs), {
    steer: "sk_lookup",
    egress: "tc",
    loopback: "tc",
    adopt: "tc",
    kubelet: "sockops",
  });
  const maps = parsed.value.maps.map((m) => m.name).toSorted();
  assert.deepEqual(maps, [...names.POD_MAPS, "probes"].toSorted());
  const captured = parsed.value.maps.find((m) => m.name === "captured");
  assert.deepEqual(captured, {
    name: "captured",
    type: 24,
    keySize: 4,
    valueSize: 4,
    maxEntries: 0,
    flags: 1,
  });
  assert.equal(parsed.value.maps.find((m) => m.name === "probes")?.keySize, 36);
});

test("map references are replaced by descriptors", () => {
  const parsed = parseBpfObject(object);
  assert.ok(parsed.ok);
  for (const program of parsed.value.programs) {
    assert.ok(program.references.length > 0);
    const code = linkProgram(program, () => 77);
    for (const { offset } of program.references) {
      assert.equal(code[offset], 0x18);
      assert.equal((code[offset + 1] ?? 0) >> 4, 1);
      assert.equal(code.readInt32LE(offset + 4), 77);
    }
  }
});

test("constants are those of maps.h", () => {
  const header = ["maps.h", "adopt.h"]
    .map((f) => readFileSync(join(import.meta.dirname, f), "utf8"))
    .join("\n");
  const define = (name: string): number => Number(new RegExp(`#define ${name} (\\w+)`).exec(header)?.[1]);
  assert.equal(define("MARK_BITS"), names.MARK_BITS);
  assert.equal(define("MARK_ZTUNNEL"), names.MARK_ZTUNNEL);
  assert.equal(define("MARK_TO_LO"), names.MARK_TO_LO);
  assert.equal(define("MARK_APP"), names.MARK_APP);
  assert.equal(define("HBONE_PORT"), names.ROLE_PORT.hbone);
  const flag = (name: string): number => Number(new RegExp(`FLAG_${name} = (\\d)`).exec(header)?.[1]);
  assert.equal(flag("DRAIN"), names.FLAG_DRAIN);
  assert.equal(flag("HOLD"), names.FLAG_HOLD);
  assert.equal(flag("FORWARD"), names.FLAG_FORWARD);
  const list = (name: string): readonly string[] =>
    (new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)?.[1] ?? "")
      .replaceAll(/\/\*.*?\*\//g, "")
      .split(",")
      .map((word) => word.trim().replace(/ =.*/, ""))
      .filter((word) => word !== "");
  const roles = list("role");
  assert.equal(roles.indexOf("ROLE_INBOUND"), names.ROLE_INDEX.inbound);
  assert.equal(roles.indexOf("ROLE_OUTBOUND"), names.ROLE_INDEX.outbound);
  assert.equal(roles.indexOf("ROLE_HBONE"), names.ROLE_INDEX.hbone);
  const counters = list("counter");
  const at = (name: string): number => 4 + counters.indexOf(name);
  assert.equal(at("COUNT_FLAGGED"), names.COUNTER_INDEX.flagged);
  assert.equal(at("COUNT_NO_MEMORY"), names.COUNTER_INDEX.noMemory);
  assert.equal(at("COUNT_EXEMPT"), names.COUNTER_INDEX.probesExempted);
  assert.equal(at("COUNT_RELABELLED"), names.COUNTER_INDEX.relabelled);
  const results = list("adopt_result");
  assert.equal(results.indexOf("ADOPT_FOREIGN"), names.ADOPT_RESULT.foreign);
  assert.equal(results.indexOf("ADOPT_BUSY"), names.ADOPT_RESULT.busy);
});

test("the smallest BTF blob is as the kernel wants it", () => {
  const blob = encodeIntBtf();
  assert.equal(blob.length, 45);
  assert.equal(
    blob.toString("hex"),
    "9feb0100180000000000000010000000100000000500000001000000000000010400000020000001" + "00696e7400",
  );
  assert.deepEqual(parseMapDefinitions(blob), { ok: true, value: [] });
});

test("damaged objects give problems, never a throw", () => {
  assert.equal(parseBpfObject(Buffer.alloc(0)).ok, false);
  assert.equal(parseBpfObject(Buffer.from("not an object")).ok, false);
  fc.assert(
    fc.property(fc.nat(object.length - 1), fc.nat(255), (at, value) => {
      const damaged = Buffer.from(object);
      damaged[at] = value;
      parseBpfObject(damaged);
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.nat(object.length - 1), (length) => {
      parseBpfObject(object.subarray(0, length));
    }),
    { numRuns: 200 },
  );
});
