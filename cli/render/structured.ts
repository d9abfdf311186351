/** Pure. `-o json` with four blanks, as istioctl prints; `-o yaml` with sorted keys, as Kubernetes' tools do. */
import { stringify } from "yaml";

export type OutputFormat = "short" | "json" | "yaml";

export const OUTPUT_FLAG = {
  kind: "choice",
  short: "o",
  choices: ["short", "json", "yaml"],
  default: "short",
  help: "how to print",
} as const;

/** Ends with a line feed. */
export function renderStructured(value: unknown, format: "json" | "yaml"): string {
  return format === "json"
    ? `${JSON.stringify(value, undefined, 4)}\n`
    : stringify(value, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false });
}
