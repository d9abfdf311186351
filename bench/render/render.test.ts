import assert from "node:assert/strict";
import { test } from "node:test";
import { L4_SUBJECT } from "../l4/measures.ts";
import type { Sample } from "../l4/sample.ts";
import { renderMarkdown, renderText } from "./layout.ts";
import { makeReport, type ReportInput } from "./report.ts";

const FACTS = {
  version: "1",
  tlsLibrary: "OpenSSL 3.5",
  origin: "a | b",
  cipher: "TLSv1.3 TLS_AES_256_GCM_SHA384",
  cipherGibPerSecond: 9.876,
  cipherMethod: "openssl speed",
  setting: "one thread",
};

function sample(peer: string, gibPerSecond: number, more: Partial<Sample> = {}): Sample {
  const figures = { gibPerSecond, cpuSecondsPerGib: 2 / gibPerSecond };
  const base = { peer, round: 1, measure: "bulk-8", foreignShare: 0, loadShare: 0.4, problems: [] } as const;
  return { ...base, figures, ...more };
}

function input(samples: readonly Sample[], more: Partial<ReportInput> = {}): ReportInput {
  return {
    run: {
      title: "A run",
      ground: "Two namespaces",
      date: "2026-01-02",
      machine: "2 cores",
      kernel: "6.1",
      congestionControl: "reno",
      rounds: 1,
      seconds: 3,
      remarks: [],
    },
    subject: L4_SUBJECT,
    peers: ["haproxy", "ambit"],
    measures: ["bulk-8"],
    samples,
    facts: { haproxy: FACTS, ambit: FACTS },
    failed: [],
    emptyZtunnelBytes: 70e6,
    ...more,
  };
}

function table(report: ReturnType<typeof makeReport>, title: string): readonly (readonly string[])[] {
  return report.tables.find((candidate) => candidate.title.startsWith(title))?.rows ?? [];
}

test("a row without a valid sample shows no figure, and why", () => {
  const samples = [sample("haproxy", 1), sample("ambit", 9, { problems: ["the servers counted 3"] })];
  const report = makeReport(input(samples));
  assert.deepEqual(table(report, "Bulk upload, 8")[1], ["ambit", "-", "-", "-", "-", "-", "INVALID 0/1"]);
  assert.ok(report.notes.some((note) => note.includes("INVALID samples of ambit: the servers counted 3")));
  assert.equal(table(report, "Goals").length, 1, "no goal is judged by invalid samples");
});

test("disturbed samples are marked and counted", () => {
  const report = makeReport(input([sample("haproxy", 1), sample("ambit", 2, { foreignShare: 0.5 })]));
  assert.equal(table(report, "Bulk upload, 8")[1]?.at(-1), "1/1 *");
  assert.match(report.notes.join("\n"), /1 of 2 samples had more than 20 %/);
});

test("figures carry their ratio to the reference, goals their verdict", () => {
  const report = makeReport(input([sample("haproxy", 1), sample("ambit", 1.2)]));
  assert.deepEqual(table(report, "Bulk upload, 8")[1]?.slice(0, 3), ["ambit", "1.20 (1.20)", "1.67 (0.83)"]);
  assert.deepEqual(
    table(report, "Goals").map((row) => row.at(-1)),
    ["yes", "yes", "yes"],
  );
  const missed = makeReport(input([sample("haproxy", 1), sample("ambit", 1.1)], { emptyZtunnelBytes: 81e6 }));
  assert.deepEqual(
    table(missed, "Goals").map((row) => row.at(-1)),
    ["no", "no", "no"],
  );
});

test("peers that could not run are named", () => {
  const report = makeReport(
    input([], { failed: ["haproxy, round 1: ended at once"], emptyZtunnelBytes: undefined }),
  );
  assert.deepEqual(report.notes, ["Not run: haproxy, round 1: ended at once."]);
});

test("markdown has one header, one rule and escaped cells a table", () => {
  const text = renderMarkdown(makeReport(input([sample("haproxy", 1234.5), sample("ambit", 2)])));
  const lines = text.split("\n");
  assert.equal(lines.filter((line) => /^\|(---\|)+$/.test(line)).length, 3);
  assert.match(text, /a \\\| b/);
  const columns = lines
    .filter((line) => line.startsWith("| ambit | 2.00"))
    .map((line) => line.split(" | ").length);
  assert.deepEqual(columns, [7]);
});

test("text aligns columns and keeps every line of a table as wide as its header needs", () => {
  const text = renderText(makeReport(input([sample("haproxy", 1), sample("ambit", 10)])));
  const rows = text.split("\n").filter((line) => /^(haproxy|ambit) .*1\/1$/.test(line));
  assert.equal(rows.length, 2);
  assert.equal(rows[0]?.length, rows[1]?.length);
});
