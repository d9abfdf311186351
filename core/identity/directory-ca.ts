/** A CA whose root lies in a directory: for runs without a controller. */
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createFileCa, type FileCa } from "./file-ca.ts";

/** Several ztunnels may start on one empty directory: whoever links its pair first is the root of all. */
export function directoryCa(directory: string, trustDomain: string): FileCa {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "root.pem");
  if (!existsSync(path)) {
    const fresh = createFileCa({ trustDomain });
    const temporary = join(directory, `.root.${process.pid}.pem`);
    writeFileSync(temporary, fresh.rootPem + fresh.rootKeyPem, { mode: 0o600 });
    try {
      linkSync(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }
  const both = readFileSync(path, "utf8");
  const cut = both.indexOf("-----END CERTIFICATE-----") + "-----END CERTIFICATE-----\n".length;
  return createFileCa({ trustDomain, rootPem: both.slice(0, cut), rootKeyPem: both.slice(cut) });
}
