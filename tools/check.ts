/** `npm run check`: format, lint, types, unused code, then every test that needs neither root nor a cluster. */
import { runSteps, toolPath } from "./steps.ts";
import { unitTests } from "./test-files.ts";

await runSteps([
  { name: "format", command: toolPath("oxfmt"), args: ["--check", "."], timeoutMs: 60_000 },
  { name: "lint", command: toolPath("oxlint"), args: ["--type-aware", "--quiet"], timeoutMs: 120_000 },
  { name: "types", command: toolPath("tsc"), args: ["-p", "."], timeoutMs: 120_000 },
  { name: "unused code", command: toolPath("knip"), args: [], timeoutMs: 120_000 },
  {
    name: "unit tests",
    command: process.execPath,
    args: ["--test", "--test-timeout=120000", ...unitTests()],
    timeoutMs: 600_000,
  },
]);
