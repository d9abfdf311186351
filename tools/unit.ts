/** `npm run test:unit`: every test that needs neither root nor a cluster; arguments narrow by file name. */
import { runSteps } from "./steps.ts";
import { unitTestArgs, unitTests } from "./test-files.ts";

const wanted = process.argv.slice(2);
const files = unitTests().filter((file) => wanted.length === 0 || wanted.some((w) => file.includes(w)));
await runSteps(
  [
    {
      name: "unit tests",
      command: process.execPath,
      args: unitTestArgs(files),
      timeoutMs: 600_000,
    },
  ],
  true,
);
