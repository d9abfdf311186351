/** `npm run format`: rewrites sources in the project's format. */
import { runSteps, toolPath } from "./steps.ts";

await runSteps([{ name: "format", command: toolPath("oxfmt"), args: ["."], timeoutMs: 60_000 }]);
