/** The compiled CNI plugin for one CPU, and the hash of the source that it was made from. */
import { SHIM_BASE64 } from "./shim.gen.ts";

/** The executable's bytes, or undefined on a CPU for which there is none. */
export function shimBinary(arch: string): Buffer | undefined {
  return arch === "x64" || arch === "arm64" ? Buffer.from(SHIM_BASE64[arch], "base64") : undefined;
}
