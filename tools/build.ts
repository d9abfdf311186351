/** Builds the daemons' bundles into .build/, skipped when nothing that goes into them changed. */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Metafile } from "esbuild";
import { BUNDLES, type Bundle } from "./bundles.ts";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const OUT_DIR: string = join(ROOT, ".build");

/** koffi carries a native library and stays a package beside the bundles. */
const NATIVE_PACKAGES = ["koffi", `@koromix/koffi-linux-${process.arch}`];
const BANNER =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** Builds what is stale (all, or only the named); returns the metafile per bundle, from which a test reads the packages in each. */
export async function buildAll(only?: readonly string[]): Promise<ReadonlyMap<string, Metafile>> {
  mkdirSync(OUT_DIR, { recursive: true });
  copyNativePackages();
  const built = await Promise.all(
    BUNDLES.filter((bundle) => only?.includes(bundle.name) ?? true).map(
      async (bundle) => [bundle.name, await buildOne(bundle)] as const,
    ),
  );
  return new Map(built);
}

async function buildOne(bundle: Bundle): Promise<Metafile> {
  const metaFile = join(OUT_DIR, `${bundle.name}.meta.json`);
  const fresh = freshMetafile(metaFile);
  if (fresh !== undefined) return fresh;
  const started = Date.now();
  const result = await build({ ...buildOptions(bundle), metafile: true, write: false });
  for (const file of result.outputFiles) writeWhole(file.path, file.contents);
  const inputs = Object.fromEntries(Object.keys(result.metafile.inputs).map((file) => [file, hashOf(file)]));
  writeWhole(
    metaFile,
    JSON.stringify({ builder: hashOf("tools/build.ts"), inputs, metafile: result.metafile }),
  );
  process.stderr.write(`ambit: built ${bundle.name}.mjs in ${Date.now() - started} ms\n`);
  return result.metafile;
}

/** By rename: a daemon that starts meanwhile reads the old file or the new one, never half of one. */
function writeWhole(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

/** What would go into a bundle; nothing is written. */
export async function analyseBundle(bundle: Bundle): Promise<Metafile> {
  return (await build({ ...buildOptions(bundle), metafile: true, write: false })).metafile;
}

function buildOptions(bundle: Bundle): BuildOptions {
  return {
    absWorkingDir: ROOT,
    entryPoints: [bundle.entry],
    outfile: join(OUT_DIR, `${bundle.name}.mjs`),
    bundle: true,
    platform: "node",
    target: "node26",
    format: "esm",
    banner: { js: BANNER },
    external: ["koffi"],
    sourcemap: "linked",
    sourcesContent: false,
    legalComments: "none",
    logLevel: "warning",
  };
}

/** The stored metafile if every input still has the content that it had then. */
function freshMetafile(metaFile: string): Metafile | undefined {
  if (!existsSync(metaFile) || !existsSync(metaFile.replace(/\.meta\.json$/, ".mjs"))) return undefined;
  const stored = JSON.parse(readFileSync(metaFile, "utf8")) as {
    readonly builder: string;
    readonly inputs: Record<string, string>;
    readonly metafile: Metafile;
  };
  const same = Object.entries(stored.inputs).every(([file, hash]) => hashOf(file) === hash);
  return same && stored.builder === hashOf("tools/build.ts") ? stored.metafile : undefined;
}

function hashOf(file: string): string {
  const path = join(ROOT, file);
  return existsSync(path) ? createHash("sha256").update(readFileSync(path)).digest("hex") : "absent";
}

function copyNativePackages(): void {
  for (const name of NATIVE_PACKAGES) {
    const target = join(OUT_DIR, "node_modules", name);
    const source = join(ROOT, "node_modules", name);
    const version = readFileSync(join(source, "package.json"), "utf8");
    const present = join(target, "package.json");
    if (existsSync(present) && readFileSync(present, "utf8") === version) continue;
    rmSync(target, { recursive: true, force: true });
    cpSync(source, target, { recursive: true, dereference: true });
  }
}

if (import.meta.main) await buildAll();
