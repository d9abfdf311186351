/**
 * `npm run check`: format, lint, types, unused code, then every test that needs neither root nor a cluster.
 * `npm run check -- --static` leaves the tests out, for runs that go on with `npm test`.
 */
import { runSteps, type Step, toolPath } from "./steps.ts";
import { unitTestArgs } from "./test-files.ts";

const tests: Step = {
  name: "unit tests",
  command: process.execPath,
  args: unitTestArgs(),
  timeoutMs: 600_000,
};

await runSteps([
  { name: "format", command: toolPath("oxfmt"), args: ["--check", "."], timeoutMs: 60_000 },
  { name: "lint", command: toolPath("oxlint"), args: ["--type-aware", "--quiet"], timeoutMs: 120_000 },
  { name: "types", command: toolPath("tsc"), args: ["-p", "."], timeoutMs: 120_000 },
  { name: "unused code", command: toolPath("knip"), args: [], timeoutMs: 120_000 },
  ...(process.argv.includes("--static") ? [] : [tests]),
]);
