/** HOT PATH. Names of requests, in the form of a UUID, for people and logs: no two are alike, and nobody must take them for secrets. */
import { randomUUID } from "node:crypto";

/** As many have the same beginning. */
const BLOCK = 2 ** 20;

let beginning = "";
let next = 0;
let end = 0;

export function newRequestId(): string {
  if (next === end) startBlock();
  return beginning + (next++).toString(16).padStart(12, "0");
}

function startBlock(): void {
  const random = randomUUID();
  beginning = random.slice(0, 24);
  next = Math.floor(Number.parseInt(random.slice(24), 16) / BLOCK) * BLOCK;
  end = next + BLOCK;
}
