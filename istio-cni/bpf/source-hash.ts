/** Hash of the kernel programs' sources: tells whether the committed object belongs to them. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** SHA-256 over names and contents of `*.c` and `*.h` in this folder, in order of name; hex. */
export function bpfSourceHash(directory: string = import.meta.dirname): string {
  const hash = createHash("sha256");
  const files = readdirSync(directory).filter((name) => /\.[ch]$/.test(name));
  for (const name of files.toSorted()) {
    hash.update(`${name}\0`);
    hash.update(readFileSync(join(directory, name)));
    hash.update("\0");
  }
  return hash.digest("hex");
}
