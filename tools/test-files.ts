/** Finds test files by kind: unit tests need nothing, `.root.test.ts` need root and a kernel, `.e2e.ts` a cluster. */
import { globSync } from "node:fs";

const FOLDERS = "{core,ztunnel,waypoint,istio-cni,controller,cli,local,e2e,test,bench,tools}";

export function allTests(): readonly string[] {
  return globSync("**/*.{test,e2e}.ts", { exclude: ["node_modules", ".build"] }).toSorted();
}

export function unitTests(): readonly string[] {
  return globSync(`${FOLDERS}/**/*.test.ts`)
    .filter((file) => !file.endsWith(".root.test.ts"))
    .toSorted();
}

export function rootTests(): readonly string[] {
  return globSync(`${FOLDERS}/**/*.root.test.ts`).toSorted();
}

export function e2eSuites(): readonly string[] {
  return globSync("e2e/suites/**/*.e2e.ts").toSorted();
}
