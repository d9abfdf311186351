/**
 * `node test/testing/record-fences.ts KUBECONFIG`: asks a real API server again what test/testdata/fences-real-1.35.jsonl has, and writes down what
 * it answers. crds/ and deploy/ are applied there, no controller of the mesh runs, and there is no namespace `fences`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { clientOf } from "#local/apiserver/testing/test-api.ts";
import { askFence, type FenceExchange } from "./fence-exchanges.ts";

const file = new URL("../testdata/fences-real-1.35.jsonl", import.meta.url);
const api = clientOf(readFileSync(process.argv[2] ?? "", "utf8"));
const recorded: string[] = [];
for (const line of readFileSync(file, "utf8").trim().split("\n")) {
  const exchange = JSON.parse(line) as FenceExchange;
  recorded.push(JSON.stringify({ ...exchange, answer: await askFence(api, exchange) }));
}
writeFileSync(file, `${recorded.join("\n")}\n`);
api.close();
