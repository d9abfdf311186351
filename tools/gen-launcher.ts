/** `npm run gen:launcher`: compiles the local cluster's container launcher. With `--check` it only compares. */
import { generateStatic } from "./compile-static.ts";

generateStatic(
  {
    constant: "LAUNCHER",
    sources: ["local/launcher/run.c", "local/launcher/sys.h"],
    output: "local/launcher/launcher.gen.ts",
  },
  process.argv.includes("--check"),
);
