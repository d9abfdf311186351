import assert from "node:assert/strict";
import { test } from "node:test";
import { BPF_COMPILER, CAPTURE_OBJECT_BASE64 } from "#istio-cni/bpf/objects.gen.ts";
import { compileCapture, installedCompiler } from "./gen-bpf.ts";

const same = installedCompiler() === BPF_COMPILER;
const skip = same ? false : `SKIPPED: the committed object was made with ${BPF_COMPILER}`;

test("compiling the sources again gives the committed object", { skip }, () => {
  assert.ok(compileCapture().toString("base64") === CAPTURE_OBJECT_BASE64, "run: npm run gen:bpf");
});
