/** `npm test`: everything. Unit tests, then kernel and namespace tests, then the whole mesh on a local cluster. */
import { runSteps, type Step } from "./steps.ts";
import { e2eSuites, rootTests, unitTestArgs } from "./test-files.ts";

const strict = { AMBIT_REQUIRE_ROOT: "1" };
const one = (name: string, files: readonly string[], timeoutMs: number): Step => ({
  name,
  command: process.execPath,
  args: ["--test", "--test-concurrency=1", "--test-timeout=300000", ...files],
  env: strict,
  timeoutMs,
});

await runSteps([
  {
    name: "unit tests",
    command: process.execPath,
    args: unitTestArgs(),
    timeoutMs: 600_000,
  },
  { name: "bundles", command: process.execPath, args: ["tools/build.ts"], timeoutMs: 300_000 },
  one("kernel and namespace tests", rootTests(), 900_000),
  ...(e2eSuites().length === 0 ? [] : [one("whole-mesh tests", e2eSuites(), 1_200_000)]),
]);
