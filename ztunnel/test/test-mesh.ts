/**
 * Whole ztunnels in this process, on loopback, without root: pods are addresses of 127/8, capture is a client that dials
 * the pod's outbound port, the CA signs in process, the mesh state is committed by the test. Everything between is the
 * product: proxies, pool, TLS, policy, log.
 */
import { systemClock } from "#core/base/clock.ts";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { Listener } from "#core/handle/socket-factory.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import type { Authorization } from "#core/model/authorization.ts";
import { podUid, serviceKey } from "#core/model/ids.ts";
import type { Service } from "#core/model/service.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT } from "#core/model/well-known.ts";
import type { Workload } from "#core/model/workload.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import { createLog } from "#core/runtime/log.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { Registry } from "prom-client";
import { ConnectionLog } from "../proxy/connection-log.ts";
import { ConnectionRegistry } from "../proxy/connection-registry.ts";
import { ProxyMetrics } from "../proxy/metrics.ts";
import { PodProxy } from "../proxy/pod-proxy.ts";
import type { PodSockets } from "../proxy/pod-sockets.ts";
import { WaitingRoom } from "../proxy/waiting-room.ts";
import type { CertificateSource, ProxyDeps, ProxyOptions } from "../proxy/proxy-deps.ts";
import { MeshState } from "#core/state/mesh-state.ts";

export type LogLine = Readonly<Record<string, unknown>>;

/** Real ports behind the well-known ones, by pod address. */
type PortMap = Map<string, number>;

export class TestMesh {
  readonly ca: FileCa = createFileCa({ trustDomain: "cluster.local" });
  readonly nodes: TestNode[] = [];
  readonly ports: PortMap = new Map();
  readonly backend: HandleBackend;
  #addresses = 10;

  constructor(backend: HandleBackend) {
    this.backend = backend;
  }

  node(options: Partial<ProxyOptions> = {}): TestNode {
    const node = new TestNode(this, `node${this.nodes.length + 1}`, options);
    this.nodes.push(node);
    for (const other of this.nodes) {
      if (other !== node) node.state.commit({ upserts: snapshotOf(other.state), removals: [] });
    }
    return node;
  }

  freshIp(): IpAddress {
    return ip(`127.60.${process.pid % 250}.${this.#addresses++}`);
  }

  /** Tells every node. */
  commit(...resources: readonly (Workload | Service | Authorization)[]): void {
    for (const node of this.nodes) node.state.commit({ upserts: resources.map(resourceOf), removals: [] });
  }

  removePolicy(name: string): void {
    for (const node of this.nodes) {
      node.state.commit({ upserts: [], removals: [{ type: "authorization", name }] });
    }
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.close();
  }
}

export class TestNode {
  readonly mesh: TestMesh;
  readonly name: string;
  readonly state = new MeshState();
  readonly registry: ConnectionRegistry;
  readonly metrics = new ProxyMetrics();
  readonly pods: TestPod[] = [];
  /** Identities that the CA refuses. */
  readonly refused = new Set<string>();
  readonly #deps: ProxyDeps;
  readonly #served = new Map<string, PodProxy>();
  readonly #lines: LogLine[] = [];

  constructor(mesh: TestMesh, name: string, options: Partial<ProxyOptions>) {
    this.mesh = mesh;
    this.name = name;
    const holdMs = options.policyHoldMs ?? 150;
    this.registry = new ConnectionRegistry({ state: this.state, clock: systemClock, holdMs, network: "" });
    const write = (line: string): void => void this.#lines.push(JSON.parse(line) as LogLine);
    const log = createLog("ztunnel", { level: "info", write }).root;
    this.#deps = {
      options: { ...DEFAULTS, node: name, ...options },
      state: this.state,
      certificates: this.#certificates(),
      backend: mesh.backend,
      registry: this.registry,
      waypointRoom: new WaitingRoom({ total: 4, perPod: 3 }),
      connectionLog: new ConnectionLog({
        log: log.child("access"),
        metrics: this.metrics,
        monotonicMs: systemClock.monotonicMs,
      }),
      metrics: this.metrics,
      pods: {
        byWorkload: (workload) => this.#served.get(workload.uid)?.context,
      },
      clock: systemClock,
      log,
      random: Math.random,
    };
  }

  /** A running pod with its listeners; the workload is announced to every node unless `announce` is false. */
  async pod(given: Partial<Workload> & { readonly announce?: boolean } = {}): Promise<TestPod> {
    const { announce = true, ...rest } = given;
    const name = given.name ?? `pod-${this.mesh.ports.size}`;
    const workload = aWorkload({
      addresses: [this.mesh.freshIp()],
      serviceAccount: name,
      node: this.name,
      ...rest,
      name,
    });
    const sockets = new LoopbackPodSockets(this.mesh, workload.addresses[0] ?? ip("127.0.0.1"));
    const proxy = await this.start(workload, sockets);
    if (announce) this.mesh.commit(workload);
    const pod: TestPod = { node: this, workload, proxy, sockets, address: sockets.address };
    this.pods.push(pod);
    return pod;
  }

  /** A proxy for the workload on sockets of the caller's choice. */
  async start(workload: Workload, sockets: PodSockets): Promise<PodProxy> {
    const { name, namespace, serviceAccount } = workload;
    const proxy = new PodProxy(this.#deps, { uid: podUid(name), name, namespace, serviceAccount }, sockets);
    await proxy.start();
    this.#served.set(workload.uid, proxy);
    return proxy;
  }

  async remove(pod: TestPod): Promise<void> {
    this.pods.splice(this.pods.indexOf(pod), 1);
    this.#served.delete(pod.workload.uid);
    await pod.proxy.stop("pod removed");
  }

  access(): readonly LogLine[] {
    return this.#lines.filter((line) => line["scope"] === "access");
  }

  /** Lines that tell of a defect rather than of a connection. */
  problems(): readonly LogLine[] {
    return this.#lines.filter((line) => line["level"] === "error");
  }

  async scrape(): Promise<string> {
    const registry = new Registry();
    this.metrics.register(registry);
    return registry.metrics();
  }

  async close(): Promise<void> {
    for (const proxy of this.#served.values()) await proxy.stop("test over");
    this.#served.clear();
    this.registry.close();
  }

  #certificates(): CertificateSource {
    const issued = new Map<SpiffeId, WorkloadCertificate>();
    const issue = (identity: SpiffeId): WorkloadCertificate => {
      if (this.refused.has(identity)) throw new Error("the CA refused");
      const certificate = this.mesh.ca.issueNow(identity);
      issued.set(identity, certificate);
      return certificate;
    };
    return {
      current: (identity) => issued.get(identity),
      fetch: async (identity) => await Promise.resolve().then(() => issue(identity)),
    };
  }
}

export interface TestPod {
  readonly node: TestNode;
  readonly workload: Workload;
  readonly proxy: PodProxy;
  readonly sockets: LoopbackPodSockets;
  readonly address: IpAddress;
}

const DEFAULTS: ProxyOptions = {
  node: "",
  network: "",
  trustDomains: ["cluster.local"],
  workloadWaitMs: 150,
  certificateWaitMs: 1_000,
  policyHoldMs: 150,
  waypointWaitMs: 300,
  connectTimeoutMs: 2_000,
  tunnelTimeoutMs: 4_000,
  handshakes: { perPod: 64, perSource: 16 },
  maxConnections: 1_000,
  shortCircuit: true,
};

/** Plain sockets bound to the pod's loopback address. */
class LoopbackPodSockets implements PodSockets {
  readonly address: IpAddress;
  /** Set to false: the address has left the pod. */
  isOnDevice = true;
  /** Where plaintext that was "captured" really goes: capture changes no ports, this test must. */
  plaintextTarget = 0;
  readonly #mesh: TestMesh;

  constructor(mesh: TestMesh, address: IpAddress) {
    this.#mesh = mesh;
    this.address = address;
  }

  /** The port that stands for 15001 (or another) of this pod. */
  realPort(port: number): number {
    return this.#mesh.ports.get(`${this.address}:${port}`) ?? 0;
  }

  get outboundPort(): number {
    return this.realPort(OUTBOUND_PORT);
  }

  get plaintextPort(): number {
    return this.realPort(INBOUND_PLAINTEXT_PORT);
  }

  async listen(
    { port, backlog }: { readonly port: number; readonly backlog: number },
    onConnection: (handle: Handle) => void,
  ): Promise<Listener> {
    // Outbound takes connections to any address, as behind capture.
    const address = port === HBONE_PORT ? this.address : ip("0.0.0.0");
    const listener = await this.#mesh.backend.listen({ ip: address, port: 0 }, backlog, onConnection);
    this.#mesh.ports.set(`${this.address}:${port}`, listener.port);
    return listener;
  }

  connect(options: Parameters<PodSockets["connect"]>[0], signal?: AbortSignal): Promise<Handle> {
    const { destination, sourceIp = this.address, timeoutMs } = options;
    const port = this.#realDestination(destination.ip, destination.port);
    return this.#mesh.backend.connect(
      { destination: { ip: destination.ip, port }, sourceIp, timeoutMs },
      signal,
    );
  }

  hasAddress(address: IpAddress): boolean {
    return this.isOnDevice && address === this.address;
  }

  close(): void {
    // Nothing of its own to release.
  }

  #realDestination(address: IpAddress, port: number): number {
    if (port === HBONE_PORT) return this.#mesh.ports.get(`${address}:${HBONE_PORT}`) ?? 1;
    return port === this.plaintextPort && address === this.address ? this.plaintextTarget : port;
  }
}

/** A service on a fresh virtual address whose port is the client's outbound port, so that a plain dial is "captured". */
export function serviceFor(
  client: TestPod,
  server: TestPod,
  appPort: number,
): { service: Service; workload: Workload } {
  const name = `svc-${client.workload.name}-${server.workload.name}`;
  const service = aService({
    name,
    vips: [{ network: "", ip: client.node.mesh.freshIp() }],
    ports: [{ servicePort: client.sockets.outboundPort, targetPort: appPort, appProtocol: "unknown" }],
  });
  const key = serviceKey(service.namespace, service.hostname);
  const known = client.node.state.workloads.get(server.workload.uid) ?? server.workload;
  const noPorts: ReadonlyMap<number, number> = new Map();
  const workload = { ...known, services: new Map([...known.services, [key, noPorts] as const]) };
  client.node.mesh.commit(service, workload);
  return { service, workload };
}

export function identityOf(pod: TestPod): SpiffeId {
  const { trustDomain, namespace, serviceAccount } = pod.workload;
  return spiffeId({ trustDomain, namespace, serviceAccount });
}

type Resource = Parameters<MeshState["commit"]>[0]["upserts"][number];

function resourceOf(value: Workload | Service | Authorization): Resource {
  if ("uid" in value) return { kind: "workload", workload: value };
  return "hostname" in value ? { kind: "service", service: value } : { kind: "authorization", policy: value };
}

function snapshotOf(state: MeshState): readonly Resource[] {
  return [
    ...[...state.workloads.values()].map(resourceOf),
    ...[...state.services.values()].map(resourceOf),
    ...[...state.policies.values()].map(resourceOf),
  ];
}
