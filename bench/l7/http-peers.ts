/** What is measured of HTTP: nginx, haproxy, the waypoint, and for added latency the upstream itself. */
import { join } from "node:path";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { writeFileSync } from "node:fs";
import { IP_A, IP_B } from "../network/bench-network.ts";
import type { PeerRoot } from "../peers/debian-root.ts";
import type { PeerCertificates, PeerFacts } from "../peers/peer.ts";
import { nodeCipherSpeed } from "../peers/cipher-speed.ts";
import { CIPHER_SUITE } from "../peers/proxy-configs.ts";
import { proxyPairs } from "../peers/proxy-pair.ts";
import { GATEWAY, HTTP1_PORT, HTTP2_PORT, SERVICE_VIP, UPSTREAM_IP } from "./bench-mesh.ts";
import { haproxyHttpConfig, type HttpProxyOptions, nginxHttpConfig } from "./http-configs.ts";
import type { HttpJob, Transport } from "./http-jobs.ts";
import { type HttpMeasure, HTTP_MEASURES } from "./http-measures.ts";
import { MEASURED_CORES, ownProgram, type RunningProgram, startProgram } from "./http-programs.ts";
import { benchIdentity } from "./open-transport.ts";

export const UPSTREAM_TLS_PORT = 9_443;
const PROXY_PORT = 8_443;
const WAYPOINT_PORT = 15_108;

export interface HttpContext {
  /** Namespace of proxies and upstreams. */
  readonly netns: string;
  readonly directory: string;
  readonly certificates: PeerCertificates;
  readonly caDirectory: string;
  /** Folder for CPU profiles of the waypoint; undefined for none. */
  readonly profilePath: string | undefined;
}

export interface HttpPeer {
  readonly name: string;
  readonly facts: PeerFacts;
  readonly measures: readonly HttpMeasure[];
  /** Where the load speaks while the peer runs. */
  transport(context: HttpContext, version: HttpJob["version"]): Transport;
  /** Undefined for who needs no process. */
  start(context: HttpContext): Promise<RunningProgram | undefined>;
}

const NEGOTIATED = `TLSv1.3 ${CIPHER_SUITE}`;

export function httpPeers(root: PeerRoot | undefined, version: string): readonly HttpPeer[] {
  const proxies = root === undefined ? [] : proxyPeers(root);
  return [...proxies, waypointPeer(version), directPeer("tls"), directPeer("hbone")];
}

function proxyPeers(root: PeerRoot): readonly HttpPeer[] {
  const pairs = proxyPairs(root);
  const peer = (
    name: string,
    config: (options: HttpProxyOptions) => string,
    args: (path: string, directory: string) => readonly string[],
  ): readonly HttpPeer[] => {
    const facts = pairs.find((pair) => pair.name === name)?.facts;
    const program = root.program(`usr/sbin/${name}`);
    if (facts === undefined || program === undefined) return [];
    return [
      {
        name,
        facts: {
          ...facts,
          cipher: NEGOTIATED,
          setting: "one thread, HTTP/1.1 upstream, access log and one header rule on",
        },
        measures: HTTP_MEASURES,
        transport: (context) => tlsTransport(context, IP_B, PROXY_PORT),
        start: ({ netns, directory, certificates }) => {
          const path = join(directory, `${name}-http.conf`);
          const { caPath, serverName } = certificates;
          const text = config({
            listen: `${IP_B}:${PROXY_PORT}`,
            upstream: `${UPSTREAM_IP}:${UPSTREAM_TLS_PORT}`,
            certificate: certificates.b,
            caPath,
            serverName,
            directory,
          });
          writeFileSync(path, text);
          return startProgram({
            netns,
            cores: MEASURED_CORES,
            command: program.command,
            args: [...program.args, ...args(path, directory)],
            env: program.env,
            logPath: join(directory, `${name}-http.log`),
          });
        },
      },
    ];
  };
  return [
    ...peer("nginx", nginxHttpConfig, (path, directory) => [
      "-p",
      directory,
      "-e",
      join(directory, "nginx.err"),
      "-c",
      path,
    ]),
    ...peer("haproxy", haproxyHttpConfig, (path) => ["-db", "-f", path]),
  ];
}

function waypointPeer(version: string): HttpPeer {
  return {
    name: "waypoint",
    facts: ambitFacts(
      version,
      "HBONE on both sides, HTTP/2 upstream for HTTP/2 callers, 101 workloads, access log, metrics and one header rule on",
    ),
    measures: HTTP_MEASURES,
    transport: ({ caDirectory }, httpVersion) => ({
      kind: "hbone",
      ip: IP_B,
      port: WAYPOINT_PORT,
      expected: benchIdentity(GATEWAY),
      authority: `${SERVICE_VIP}:${httpVersion === "2" ? HTTP2_PORT : HTTP1_PORT}`,
      caDirectory,
    }),
    start: ({ netns, directory, caDirectory, profilePath }) =>
      startProgram(
        {
          netns,
          cores: MEASURED_CORES,
          ...ownProgram("waypoint-main.ts", [IP_B, String(WAYPOINT_PORT), caDirectory, IP_A], profilePath),
          logPath: join(directory, "waypoint.log"),
        },
        '"ready"',
      ),
  };
}

/** The same load without a proxy: what added latency is added to. */
function directPeer(kind: "tls" | "hbone"): HttpPeer {
  const tls = (context: HttpContext): Transport => tlsTransport(context, UPSTREAM_IP, UPSTREAM_TLS_PORT);
  return {
    name: `direct-${kind}`,
    facts: ambitFacts("", "no proxy"),
    measures: ["paced"],
    transport: (context) =>
      kind === "tls"
        ? tls(context)
        : {
            kind: "hbone",
            ip: UPSTREAM_IP,
            port: HBONE_PORT,
            expected: benchIdentity("server"),
            authority: `${UPSTREAM_IP}:${HTTP1_PORT}`,
            caDirectory: context.caDirectory,
          },
    start: () => Promise.resolve(undefined),
  };
}

function ambitFacts(version: string, setting: string): PeerFacts {
  return {
    version: version === "" ? "-" : `${version}, Node ${process.versions.node}`,
    tlsLibrary: `OpenSSL ${process.versions["openssl"] ?? "unknown"}`,
    origin: "this tree",
    cipher: NEGOTIATED,
    cipherGibPerSecond: version === "" ? undefined : nodeCipherSpeed(),
    cipherMethod: "EVP calls into this Node",
    setting,
  };
}

function tlsTransport({ certificates }: HttpContext, ip: string, port: number): Transport {
  const { caPath, serverName, a } = certificates;
  return {
    kind: "tls",
    ip,
    port,
    caPath,
    certificatePath: a.certificatePath,
    keyPath: a.keyPath,
    serverName,
  };
}
