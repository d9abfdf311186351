/** What the benchmark knows of a thing that it measures. */
import type { BenchNetwork } from "../network/bench-network.ts";

/** Printed with every table: a figure without them says little. */
export interface PeerFacts {
  readonly version: string;
  readonly tlsLibrary: string;
  readonly origin: string;
  /** Negotiated with its B side in this run. */
  readonly cipher: string;
  /** GiB/s of that cipher with that library in this run, 16 KiB blocks, one core; undefined when it cannot be asked. */
  readonly cipherGibPerSecond: number | undefined;
  readonly cipherMethod: string;
  readonly setting: string;
}

export interface Target {
  readonly ip: string;
  readonly port: number;
}

export interface PeerContext {
  readonly network: BenchNetwork;
  /** For configuration and logs; removed after the run. */
  readonly directory: string;
  readonly certificates: PeerCertificates;
  /** Folder for CPU profiles of the ztunnels; undefined for none. */
  readonly profilePath: string | undefined;
}

/** Files of the mTLS pair, P-256, one CA. */
export interface PeerCertificates {
  readonly caPath: string;
  /** DNS name in both leaves. */
  readonly serverName: string;
  readonly a: CertificatePaths;
  readonly b: CertificatePaths;
}

export interface CertificatePaths {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** Both in one file. */
  readonly bothPath: string;
}

export interface RunningPeer {
  readonly a: readonly number[];
  readonly b: readonly number[];
  /** Where the load dials, inside namespace a. */
  readonly echo: Target;
  readonly sink: Target;
  /** Where B speaks TLS, for the probe of its cipher; undefined without TLS. */
  readonly tls: TlsProbe | undefined;
  /** Connections that each side has counted so far; undefined for peers that do not count. */
  readonly connectionCounts?: () => Promise<ConnectionCounts>;
  stop(): Promise<void>;
}

export interface TlsProbe extends Target {
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly alpn: string | undefined;
}

export interface ConnectionCounts {
  readonly a: number;
  readonly b: number;
}

interface NamedPeer {
  readonly name: string;
  /** Facts that need no run; `cipher` comes from a running pair. */
  readonly facts: Omit<PeerFacts, "cipher">;
}

/** Ready to be measured where it belongs. */
export interface UnstartedPeer extends NamedPeer {
  start(): Promise<RunningPeer>;
}

export interface Peer extends NamedPeer {
  /** Rejects when it cannot run. */
  start(context: PeerContext): Promise<RunningPeer>;
}
