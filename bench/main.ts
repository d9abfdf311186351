/** `npm run bench -- l4`: measures, prints tables, writes JSON and markdown. Figures are reported, never asserted. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { describeProblems } from "#core/base/parse-result.ts";
import { describeError } from "#core/runtime/errors.ts";
import { MEASURES } from "./l4/measures.ts";
import { runL4 } from "./l4/run-l4.ts";
import { createBenchNetwork } from "./network/bench-network.ts";
import { type BenchOptions, chosen, HELP, parseBenchOptions, PEER_NAMES } from "./options.ts";
import { ambitPeers, emptyZtunnelBytes } from "./peers/ambit.ts";
import { writePeerCertificates } from "./peers/certificates.ts";
import { preparePeerRoot } from "./peers/debian-root.ts";
import { directPeer } from "./peers/direct.ts";
import { givenPair } from "./peers/given-pair.ts";
import type { Peer } from "./peers/peer.ts";
import { proxyPairs } from "./peers/proxy-pair.ts";
import { renderMarkdown, renderText } from "./render/layout.ts";
import { makeReport } from "./render/report.ts";

const ROOT = join(import.meta.dirname, "..");

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

/** The peers of this run in table order, and what must be said about where they come from. */
function peersOf(options: BenchOptions): {
  readonly peers: readonly Peer[];
  readonly remarks: readonly string[];
} {
  const names = chosen(PEER_NAMES, options.only);
  const remarks: string[] = [];
  const available: Peer[] = [directPeer];
  if (names.some((name) => ["haproxy", "nginx", "stunnel"].includes(name))) {
    say("preparing the reference peers (packages of Debian 13, 12 MB the first time) ...");
    const { root, problem } = preparePeerRoot(join(ROOT, ".build/peers/trixie"));
    if (problem !== undefined)
      remarks.push(
        `Debian 13's packages were not to be had (${problem}): reference peers are ${root.origin}.`,
      );
    available.push(...proxyPairs(root));
  }
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly version: string;
  };
  if (names.some((name) => name.startsWith("ambit"))) available.push(...ambitPeers(version));
  const { peerA, peerB } = options;
  if (peerA !== undefined && peerB !== undefined) available.push(givenPair(peerA, peerB));
  const isWanted = (peer: Peer): boolean => names.includes(peer.name) || peer.name === "given";
  return { peers: available.filter(isWanted), remarks };
}

async function run(options: BenchOptions): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-"));
  const network = createBenchNetwork(options.congestionControl, directory);
  const interrupted = (): void => {
    network.close();
    process.exit(130);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    const { peers, remarks } = peersOf(options);
    const measures = chosen(MEASURES, options.only);
    const context = {
      network,
      directory,
      certificates: writePeerCertificates(join(directory, "certificates")),
      profilePath: options.profilePath,
    };
    const withAmbit = peers.some((peer) => peer.name === "ambit");
    const emptyBytes =
      withAmbit && measures.includes("idle") ? await emptyZtunnelBytes(directory) : undefined;
    const { rounds, seconds } = options;
    const results = await runL4({ peers, measures, rounds, seconds, context, say });
    const facts = {
      ...machineFacts(),
      congestionControl: network.congestionControl,
      rounds,
      seconds,
      remarks,
    };
    const input = {
      run: facts,
      peers: peers.map((peer) => peer.name),
      measures,
      ...results,
      emptyZtunnelBytes: emptyBytes,
    };
    const report = makeReport(input);
    process.stdout.write(renderText(report));
    if (options.jsonPath !== undefined)
      writeFileSync(options.jsonPath, `${JSON.stringify(input, undefined, 2)}\n`);
    if (options.markdownPath !== undefined) writeFileSync(options.markdownPath, renderMarkdown(report));
    if (results.samples.length === 0) process.exitCode = 1;
  } finally {
    network.close();
  }
}

function machineFacts(): { readonly date: string; readonly machine: string; readonly kernel: string } {
  const model = cpus()[0]?.model.trim() ?? "unknown CPU";
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores, ${model}`,
    kernel: release(),
  };
}

function checkMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root, for network namespaces: run it with sudo";
  for (const tool of ["ip", "nsenter", "setpriv"]) {
    try {
      execFileSync("/bin/sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
    } catch {
      return `needs the program ${tool} (packages iproute2 and util-linux)`;
    }
  }
  return undefined;
}

const options = parseBenchOptions(process.argv.slice(2));
const trouble = options.ok && !options.value.help ? checkMachine() : undefined;
if (!options.ok) {
  process.stderr.write(`bench: ${describeProblems(options.problems)}\n\n${HELP}`);
  process.exitCode = 2;
} else if (options.value.help) process.stdout.write(HELP);
else if (trouble !== undefined) {
  say(trouble);
  process.exitCode = 1;
} else {
  await run(options.value).catch((error: unknown) => {
    say(`failed: ${describeError(error)}`);
    process.exitCode = 1;
  });
  process.exit();
}
