/** `npm run gen:shim`: compiles the CNI plugin. With `--check` it only compares. */
import { generateStatic } from "./compile-static.ts";

generateStatic(
  { constant: "SHIM", sources: ["istio-cni/plugin/shim.c"], output: "istio-cni/plugin/shim.gen.ts" },
  process.argv.includes("--check"),
);
