import assert from "node:assert/strict";
import test from "node:test";
import { ExitCode } from "../exit-codes.ts";
import { runAmbit } from "../testing.ts";
import { othersText, statusText } from "./local-status.ts";

const ABSENT = `no${process.pid}`;

test("an id that is none is refused, whatever it would name", async () => {
  for (const id of ["../etc", "UP", "a_b", "thirteen-long"]) {
    const { exit, out, err } = await runAmbit(`local status --id ${id}`);
    assert.equal(exit, ExitCode.failed, id);
    assert.equal(out, "");
    assert.match(err, /a cluster id has 1 to 12 lower-case letters, digits and dashes/);
  }
});

test("a cluster that is not there is said, and its own exit code tells scripts", async () => {
  const { exit, out } = await runAmbit(`local status --id ${ABSENT}`);
  assert.deepEqual([exit, out], [ExitCode.notFound, `there is no local cluster "${ABSENT}"\n`]);
  const json = await runAmbit(`local status --id ${ABSENT} -o json`);
  assert.deepEqual([json.exit, JSON.parse(json.out)], [ExitCode.notFound, { id: ABSENT, state: "absent" }]);
});

test("a cluster is shown with its kubeconfig; one without owner with what removes it; others by their command", () => {
  assert.equal(
    statusText({ id: "a", state: "running", nodes: ["n1", "n2"], kubeconfigPath: "/run/k" }),
    "a: running, nodes n1, n2  KUBECONFIG=/run/k\n",
  );
  assert.equal(
    statusText({ id: "b", state: "stale", nodes: ["n1"] }),
    "b: stale, nodes n1  (its owner is gone: ambit local down --id b)\n",
  );
  assert.equal(othersText(["b", "c"]), "others here: ambit local status --id b, ambit local status --id c");
});
