/** Runs the `ambit` command as a user would, and gives back what it printed. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Tour } from "./tour.ts";

const LAUNCHER = join(import.meta.dirname, "../../ambit");

export async function ambit(tour: Tour, args: readonly string[]): Promise<string> {
  tour.show(`$ ./ambit ${args.join(" ")}`);
  const env = { ...process.env, KUBECONFIG: tour.parts.cluster.kubeconfigPath };
  const { stdout } = await promisify(execFile)(LAUNCHER, [...args], {
    env,
    timeout: 30_000,
    maxBuffer: 16 << 20,
  });
  return stdout;
}
