/** Finds test files by kind: unit tests need nothing, `.root.test.ts` need root and a kernel, `.e2e.ts` a cluster. */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";

const FOLDERS = "{core,ztunnel,waypoint,istio-cni,controller,cli,local,e2e,test,bench,tools}";

export function allTests(): readonly string[] {
  return globSync("**/*.{test,e2e}.ts", { exclude: ["node_modules", ".build"] }).toSorted();
}

export function unitTests(): readonly string[] {
  return globSync(`${FOLDERS}/**/*.test.ts`)
    .filter((file) => !file.endsWith(".root.test.ts"))
    .toSorted();
}

/** For `node`: many of them wait, so that even two processors take two at once. */
export function unitTestArgs(files = unitTests()): readonly string[] {
  const atOnce = Math.max(2, availableParallelism() - 1);
  return ["--test", `--test-concurrency=${atOnce}`, "--test-timeout=120000", ...files];
}

export function rootTests(): readonly string[] {
  return globSync(`${FOLDERS}/**/*.root.test.ts`).toSorted();
}

export function e2eSuites(): readonly string[] {
  return globSync("e2e/suites/**/*.e2e.ts").toSorted();
}
