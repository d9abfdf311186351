/** Whether a crash of this process would leave its memory, and the keys in it, in a file. Node cannot set the limit itself. */
import { readFileSync } from "node:fs";

/** `limits` is the text of /proc/PID/limits. False where there is none to read. */
export function coreDumpsPossible(limits: string = ownLimits()): boolean {
  const soft = /^Max core file size\s+(\S+)/m.exec(limits)?.[1];
  return soft !== undefined && soft !== "0";
}

function ownLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
