/** The first topology: every peer between two network namespaces, comparable with ordinary proxies. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildAll } from "#tools/build.ts";
import { createBenchNetwork } from "../network/bench-network.ts";
import { type BenchOptions, chosen, PEER_NAMES } from "../options.ts";
import { ambitPeers, emptyZtunnelBytes } from "../peers/ambit.ts";
import { writePeerCertificates } from "../peers/certificates.ts";
import { preparePeerRoot } from "../peers/debian-root.ts";
import { directPeer } from "../peers/direct.ts";
import { givenPair } from "../peers/given-pair.ts";
import type { Peer } from "../peers/peer.ts";
import { proxyPairs } from "../peers/proxy-pair.ts";
import type { ReportInput } from "../render/report.ts";
import { machineFacts } from "../system/machine-facts.ts";
import { L4_SUBJECT, MEASURES } from "./measures.ts";
import { runL4 } from "./run-l4.ts";

const ROOT = join(import.meta.dirname, "../..");
const PROXIES: readonly string[] = ["haproxy", "nginx", "stunnel"];

export async function runSockets(options: BenchOptions, say: (text: string) => void): Promise<ReportInput> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-"));
  const network = createBenchNetwork(options.congestionControl, directory);
  const interrupted = (): void => {
    network.close();
    process.exit(130);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await buildAll(["ztunnel"]); // never an old one
    const { peers, remarks } = peersOf(options, say);
    const measures = chosen(MEASURES, options.only);
    const certificates = writePeerCertificates(join(directory, "certificates"));
    const context = { network, directory, certificates, profilePath: options.profilePath };
    const isAmbit = peers.some((peer) => peer.name === "ambit");
    const emptyZtunnel =
      isAmbit && measures.includes("idle") ? await emptyZtunnelBytes(directory) : undefined;
    const { rounds, seconds } = options;
    const bound = peers.map((peer) => ({ ...peer, start: () => peer.start(context) }));
    const results = await runL4({ peers: bound, path: network.path, measures, rounds, seconds, say });
    return {
      run: {
        title: "Between two network namespaces",
        ground: "Two network namespaces joined by a veth pair",
        ...machineFacts(),
        congestionControl: network.congestionControl,
        rounds,
        seconds,
        remarks,
      },
      subject: L4_SUBJECT,
      peers: peers.map((peer) => peer.name),
      measures,
      ...results,
      emptyZtunnelBytes: emptyZtunnel,
    };
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    network.close();
  }
}

interface ChosenPeers {
  /** In table order. */
  readonly peers: readonly Peer[];
  /** What must be said about where they come from. */
  readonly remarks: readonly string[];
}

function peersOf(options: BenchOptions, say: (text: string) => void): ChosenPeers {
  const names = chosen(PEER_NAMES, options.only);
  const remarks: string[] = [];
  const available: Peer[] = [directPeer];
  if (names.some((name) => PROXIES.includes(name))) {
    say("preparing the reference peers (packages of Debian 13, 12 MB the first time) ...");
    const { root, problem } = preparePeerRoot(join(ROOT, ".build/peers/trixie"));
    if (problem !== undefined)
      remarks.push(
        `Debian 13's packages were not to be had (${problem}): reference peers are ${root.origin}.`,
      );
    const pairs = proxyPairs(root);
    available.push(...pairs);
    const missing = PROXIES.filter(
      (name) => names.includes(name) && !pairs.some((pair) => pair.name === name),
    );
    if (missing.length > 0) remarks.push(`Not on this machine: ${missing.join(", ")}.`);
  }
  if (names.some((name) => name.startsWith("ambit"))) available.push(...ambitPeers(ambitVersion()));
  const { peerA, peerB } = options;
  if (peerA !== undefined && peerB !== undefined) available.push(givenPair(peerA, peerB));
  return {
    peers: available.filter((peer) => names.includes(peer.name) || peer.name === "given"),
    remarks,
  };
}

export function ambitVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string })
    .version;
}
