/** The bearer token that kubelet keeps fresh in a file; read for every use, never kept. */
import { readFile } from "node:fs/promises";

export async function readToken(path: string): Promise<string> {
  return (await readFile(path, "utf8")).trim();
}
