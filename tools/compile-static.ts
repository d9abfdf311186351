/** Compiles a C program without libc into a static executable per CPU. Needs clang and lld; users and tests do not. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const TARGETS = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;
const FLAGS = [
  "-Os",
  "-static",
  "-nostdlib",
  "-ffreestanding",
  "-fno-builtin",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-fuse-ld=lld",
  "-Wl,--build-id=none,-s,-z,noseparate-code",
];

export interface StaticProgram {
  /** Prefix of the generated constants, such as SHIM. */
  readonly constant: string;
  /** The C file first, then what it includes. */
  readonly sources: readonly string[];
  readonly output: string;
}

/** SHA-256 over the sources in order; hex. */
export function sourceHash(sources: readonly string[]): string {
  const hash = createHash("sha256");
  for (const source of sources) hash.update(readFileSync(source));
  return hash.digest("hex");
}

/** Writes the generated file, or with `--check` compares it and sets the exit code. */
export function generateStatic(program: StaticProgram, check: boolean): void {
  const text = render(program);
  if (!check) {
    writeFileSync(program.output, text);
    return;
  }
  if (readFileSync(program.output, "utf8") === text) return;
  process.stderr.write(`${program.output} differs from what ${program.sources.join(", ")} compile to\n`);
  process.exitCode = 1;
}

function render({ constant, sources }: StaticProgram): string {
  const entries = Object.entries(TARGETS).map(
    ([arch, target]) => `  ${arch}:\n    "${compile(sources[0] ?? "", target)}",\n`,
  );
  return [
    `/** Generated from ${sources.map((s) => basename(s)).join(", ")}. Do not edit. */`,
    `export const ${constant}_SOURCE_SHA256 = "${sourceHash(sources)}";`,
    `export const ${constant}_BASE64: Readonly<Record<"x64" | "arm64", string>> = {\n${entries.join("")}};\n`,
  ].join("\n");
}

function compile(source: string, target: string): string {
  const folder = mkdtempSync(join(tmpdir(), "ambit-compile-"));
  try {
    const output = join(folder, "program");
    execFileSync("clang", [`--target=${target}`, ...FLAGS, "-o", output, source], { timeout: 60_000 });
    return readFileSync(output).toString("base64");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
