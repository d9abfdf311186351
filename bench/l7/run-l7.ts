/** HTTP proxies beside each other: all peers, round after round, each round beginning with another one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileCa } from "#core/identity/file-ca.ts";
import { describeError } from "#core/runtime/errors.ts";
import { latencyFigures, rateFigures } from "../l4/figures.ts";
import { rotated } from "../l4/run-l4.ts";
import { ambitVersion } from "../l4/run-sockets.ts";
import type { Sample } from "../l4/sample.ts";
import { LoadClient } from "../load/load-client.ts";
import { createBenchNetwork } from "../network/bench-network.ts";
import { type BenchOptions, chosen, HTTP_PEER_NAMES } from "../options.ts";
import { writePeerCertificates } from "../peers/certificates.ts";
import { preparePeerRoot } from "../peers/debian-root.ts";
import type { PeerFacts } from "../peers/peer.ts";
import type { ReportInput } from "../render/report.ts";
import { cpuBetween, readCpu } from "../system/cpu-window.ts";
import { machineFacts } from "../system/machine-facts.ts";
import { UPSTREAM_IP } from "./bench-mesh.ts";
import type { HttpJob } from "./http-jobs.ts";
import { HTTP_MEASURES, HTTP_SUBJECT, type HttpMeasure, SHAPES } from "./http-measures.ts";
import { type HttpContext, type HttpPeer, httpPeers, UPSTREAM_TLS_PORT } from "./http-peers.ts";
import { OTHER_CORES, ownProgram, type RunningProgram, startProgram } from "./http-programs.ts";
import { TRUST_DOMAIN } from "./open-transport.ts";

const ROOT = join(import.meta.dirname, "../..");
const CLIENT = join(import.meta.dirname, "http-client-main.ts");
/** Ordinary proxies open a TLS connection to the upstream for every request that is under way: that is over by then. */
const WARMUP_SECONDS = 2;

interface Turn {
  readonly context: HttpContext;
  readonly peer: HttpPeer;
  readonly round: number;
  readonly measures: readonly HttpMeasure[];
  readonly options: BenchOptions;
  /** Namespace of the load. */
  readonly loadNetns: string;
  readonly upstreams: readonly RunningProgram[];
}

export async function runL7(options: BenchOptions, say: (text: string) => void): Promise<ReportInput> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-"));
  const network = createBenchNetwork(options.congestionControl, directory);
  const interrupted = (): void => {
    network.close();
    process.exit(130);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  const upstreams: RunningProgram[] = [];
  try {
    const netns = network.path.b;
    execFileSync("nsenter", [`--net=${netns}`, "ip", "address", "add", `${UPSTREAM_IP}/32`, "dev", "lo"]);
    execFileSync("nsenter", [
      `--net=${network.path.a}`,
      "ip",
      "route",
      "add",
      `${UPSTREAM_IP}/32`,
      "dev",
      "eth0",
    ]);
    const context: HttpContext = {
      netns,
      directory,
      certificates: writePeerCertificates(join(directory, "certificates")),
      caDirectory: writeMeshCa(directory),
      profilePath: options.profilePath,
    };
    const { peers, remarks } = peersOf(options, say);
    const measures = chosen(HTTP_MEASURES, options.only);
    for (const args of upstreamArguments(context)) upstreams.push(await startUpstream(context, args));
    const samples: Sample[] = [];
    const failed: string[] = [];
    for (let round = 1; round <= options.rounds; round++)
      for (const peer of rotated(peers, round - 1)) {
        const turn = { context, peer, round, measures, options, loadNetns: network.path.a, upstreams };
        await measurePeer(turn, { samples, failed, say });
      }
    return {
      run: {
        title: "HTTP proxies",
        ground: "Two network namespaces joined by a veth pair",
        ...machineFacts(),
        congestionControl: network.congestionControl,
        rounds: options.rounds,
        seconds: options.seconds,
        remarks,
      },
      subject: HTTP_SUBJECT,
      peers: peers.map(({ name }) => name),
      measures,
      samples,
      facts: Object.fromEntries(peers.map(({ name, facts }): [string, PeerFacts] => [name, facts])),
      failed,
      emptyZtunnelBytes: undefined,
    };
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    await Promise.all(upstreams.map((upstream) => upstream.stop()));
    network.close();
  }
}

function writeMeshCa(directory: string): string {
  const folder = join(directory, "mesh-ca");
  mkdirSync(folder, { mode: 0o700 });
  const ca = createFileCa({ trustDomain: TRUST_DOMAIN });
  writeFileSync(join(folder, "root-cert.pem"), ca.rootPem);
  writeFileSync(join(folder, "root-key.pem"), ca.rootKeyPem, { mode: 0o600 });
  return folder;
}

function upstreamArguments({ certificates, caDirectory }: HttpContext): readonly (readonly string[])[] {
  const { caPath, b } = certificates;
  return [
    ["tls", UPSTREAM_IP, String(UPSTREAM_TLS_PORT), caPath, b.certificatePath, b.keyPath],
    ["hbone", UPSTREAM_IP, caDirectory],
  ];
}

function startUpstream({ netns, directory }: HttpContext, args: readonly string[]): Promise<RunningProgram> {
  const logPath = join(directory, `upstream-${args[0]}.log`);
  const program = ownProgram("http-server-main.ts", args);
  return startProgram({ netns, cores: OTHER_CORES, ...program, logPath }, '"ready"');
}

function peersOf(
  options: BenchOptions,
  say: (text: string) => void,
): { readonly peers: readonly HttpPeer[]; readonly remarks: readonly string[] } {
  const names = chosen(HTTP_PEER_NAMES, options.only);
  const wantsProxies = names.includes("nginx") || names.includes("haproxy");
  if (wantsProxies) say("preparing the reference proxies (packages of Debian 13, 12 MB the first time) ...");
  const prepared = wantsProxies ? preparePeerRoot(join(ROOT, ".build/peers/trixie")) : undefined;
  const peers = httpPeers(prepared?.root, ambitVersion()).filter(({ name }) => names.includes(name));
  const problem = prepared?.problem;
  return {
    peers,
    remarks:
      problem === undefined
        ? []
        : [
            `Debian 13's packages were not to be had (${problem}): reference proxies are ${prepared?.root.origin}.`,
          ],
  };
}

interface Results {
  readonly samples: Sample[];
  readonly failed: string[];
  say(text: string): void;
}

/** A peer that breaks down ends its own turn only. */
async function measurePeer(turn: Turn, { samples, failed, say }: Results): Promise<void> {
  const { peer, round, options } = turn;
  let program: RunningProgram | undefined;
  try {
    program = await peer.start(turn.context);
    for (const measure of turn.measures.filter((name) => peer.measures.includes(name))) {
      const sample = await runMeasure(turn, measure, program);
      samples.push(sample);
      const figures = Object.entries(sample.figures).map(
        ([name, value]) => `${name} ${Number(value.toPrecision(3))}`,
      );
      say(
        `round ${round}/${options.rounds} ${peer.name} ${measure}: ${[...figures, ...sample.problems].join(", ")}`,
      );
    }
  } catch (error) {
    failed.push(`${peer.name}, round ${round}: ${describeError(error)}`);
    say(`FAILED ${peer.name}, round ${round}: ${describeError(error)}`);
  } finally {
    await program?.stop();
  }
}

async function runMeasure(
  turn: Turn,
  measure: HttpMeasure,
  program: RunningProgram | undefined,
): Promise<Sample> {
  const { peer, context, round, options, upstreams } = turn;
  const shape = SHAPES[measure];
  const job: HttpJob = {
    kind: "http",
    transport: peer.transport(context, shape.version),
    ...shape,
    warmupSeconds: WARMUP_SECONDS,
    seconds: options.seconds,
  };
  const client = new LoadClient(turn.loadNetns, job, { program: CLIENT, cores: OTHER_CORES });
  try {
    const watched = {
      a: program === undefined ? [] : [program.pid],
      b: [],
      load: [process.pid, client.pid, ...upstreams.map(({ pid }) => pid)],
    };
    await client.started();
    const before = readCpu(watched);
    const result = await client.ended();
    const after = readCpu(watched);
    const window = cpuBetween(before, after);
    const { failures, count } = result;
    return {
      peer: peer.name,
      round,
      measure,
      figures: {
        ...rateFigures(window, result),
        core: window.a / (after.time - before.time),
        ...latencyFigures(result, "Us"),
      },
      foreignShare: window.foreignShare,
      loadShare: window.loadShare,
      problems:
        failures === 0 && count > 0
          ? []
          : [`${failures} of ${count} requests failed or were not sent in time`],
    };
  } finally {
    await client.stop();
  }
}
