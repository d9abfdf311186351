/**
 * A waypoint's proxy in this process, on loopback, without root: callers open real tunnels under certificates of a CA in this process, destinations are
 * the serving ends of tunnels in front of real sockets. Everything between is the product.
 */
import assert from "node:assert/strict";
import { systemClock } from "#core/base/clock.ts";
import { createWatchValue } from "#core/base/watch-value.ts";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { Listener } from "#core/handle/socket-factory.ts";
import { type HboneClientStream, HbonePool } from "#core/hbone/hbone-pool.ts";
import { type HboneServerConnection, serveHbone } from "#core/hbone/hbone-server.ts";
import { relay } from "#core/hbone/relay.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import {
  clientContext,
  peerChain,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "#core/identity/tls-options.ts";
import { serviceKey, type ServiceKey } from "#core/model/ids.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { AppProtocol, Service } from "#core/model/service.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { createLog } from "#core/runtime/log.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { Registry } from "prom-client";
import type { ProxyLimits } from "../proxy-context.ts";
import { serveWaypoint } from "../serve-waypoint.ts";
import { endpointDialer } from "../upstream/dial-endpoint.ts";
import type { WaypointDeps, WaypointServer } from "../waypoint-deps.ts";
import { HttpCaller } from "./http-caller.ts";

export type LogLine = Readonly<Record<string, unknown>>;

export const NAMESPACE = "shop";
const NAME = `${NAMESPACE}/ambit-waypoint`;
export const WAYPOINT: SpiffeId = identity("ambit-waypoint");

export function identity(serviceAccount: string, namespace: string = NAMESPACE): SpiffeId {
  return spiffeId({ trustDomain: "cluster.local", namespace, serviceAccount });
}

export class TestWaypoint {
  readonly backend = chooseBackend();
  readonly ca: FileCa = createFileCa({ trustDomain: "cluster.local" });
  readonly mesh = new MeshState();
  readonly config = createWatchValue<WaypointConfig | undefined>(undefined);
  readonly metrics = new Registry();
  readonly pods: TestPod[] = [];
  readonly #lines: LogLine[] = [];
  readonly #pools: HbonePool[] = [];
  readonly #certificates = new Map<SpiffeId, WorkloadCertificate>();
  readonly #hbonePorts = new Map<IpAddress, number>();
  #server: WaypointServer | undefined;
  #addresses = 10;

  static async start(limits: Partial<ProxyLimits> = {}): Promise<TestWaypoint> {
    const waypoint = new TestWaypoint();
    await waypoint.#start(limits);
    return waypoint;
  }

  get server(): WaypointServer {
    assert.ok(this.#server !== undefined);
    return this.#server;
  }

  freshIp(): IpAddress {
    return ip(`127.61.${process.pid % 250}.${this.#addresses++}`);
  }

  /** The configuration in force, with changes. */
  configure(change: Partial<WaypointConfig>): void {
    const current = this.config.get() ?? NOTHING_BOUND;
    this.config.set({ ...current, ...change });
  }

  /** An enrolled pod; its ztunnel leads to `appPort` on the pod's own address. */
  async pod(name: string, appPort: number, given: Partial<Workload> = {}): Promise<TestPod> {
    const address = given.addresses?.[0] ?? this.freshIp();
    const workload = aWorkload({
      name,
      namespace: NAMESPACE,
      serviceAccount: name,
      addresses: [address],
      ...given,
    });
    const pod = new TestPod(this, workload, appPort);
    await pod.listen();
    this.#hbonePorts.set(address, pod.port);
    this.mesh.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
    this.pods.push(pod);
    return pod;
  }

  /** A service over the pods, bound with these policies; every pod is bound with its own. */
  bind({ name, port = 80, protocol = "http11", pods, policies = [] }: Binding): BoundTestService {
    const service = aService({
      name,
      namespace: NAMESPACE,
      hostname: `${name}.${NAMESPACE}.svc.cluster.local`,
      vips: [{ network: "", ip: this.freshIp() }],
      ports: [{ servicePort: port, targetPort: pods[0]?.appPort ?? 1, appProtocol: protocol }],
    });
    const key = serviceKey(service.namespace, service.hostname);
    const workloads = pods.map((pod) => this.mesh.workloads.get(pod.workload.uid) ?? pod.workload);
    this.mesh.commit({
      upserts: [
        { kind: "service", service },
        ...workloads.map((workload) => ({
          kind: "workload" as const,
          workload: { ...workload, services: new Map([...workload.services, [key, new Map([[port, 0]])]]) },
        })),
      ],
      removals: [],
    });
    const current = this.config.get() ?? NOTHING_BOUND;
    const isNew = (workload: Workload): boolean =>
      current.workloads.every((w) => w.workload !== workload.uid);
    this.configure({
      services: [...current.services, { service: key, policies: policies.map((policy) => policy.key) }],
      workloads: [
        ...current.workloads,
        ...workloads.filter(isNew).map(({ uid }) => ({ workload: uid, policies: [] })),
      ],
      policies: [...current.policies, ...policies],
    });
    const vip = service.vips[0]?.ip ?? ip("127.0.0.1");
    return { key, service, address: { ip: vip, port } };
  }

  /** A tunnel stream to the waypoint under an identity, as a source's ztunnel opens it. */
  async tunnel(caller: SpiffeId, target: SocketAddress, given: TunnelGiven = {}): Promise<HboneClientStream> {
    const certificate = this.#certificates.get(caller) ?? this.ca.issueNow(caller);
    this.#certificates.set(caller, certificate);
    const pool = given.pool ?? new HbonePool({ backend: this.backend });
    if (given.pool === undefined) this.#pools.push(pool);
    const expectedIdentities = [WAYPOINT];
    return pool.connect(
      {
        sourceIdentity: caller,
        sourceIp: ip("127.0.0.1"),
        expectedIdentities,
        destination: { ip: ip("127.0.0.1"), port: this.server.port },
      },
      { target: { kind: "address", address: target }, ...given.fields },
      {
        connect: (destination, signal) => this.backend.connect({ destination, timeoutMs: 5_000 }, signal),
        credentials: () => ({
          context: clientContext(certificate),
          serial: certificate.serial,
          notAfterMs: certificate.notAfterMs,
          verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities }),
        }),
      },
      AbortSignal.timeout(5_000),
    );
  }

  /** HTTP by hand over a tunnel of its own. */
  async http(caller: SpiffeId, target: SocketAddress, given: TunnelGiven = {}): Promise<HttpCaller> {
    const stream = await this.tunnel(caller, target, given);
    const handle: Handle = new StreamHandle({ stream, local: target, remote: target });
    return new HttpCaller(handle);
  }

  access(): readonly LogLine[] {
    return this.#lines.filter((line) => line["scope"] === "access");
  }

  /** Lines that tell of a defect. */
  problems(): readonly LogLine[] {
    return this.#lines.filter((line) => line["level"] === "error");
  }

  async close(): Promise<void> {
    for (const pool of this.#pools) await pool.close();
    await this.#server?.close("the test is over");
    for (const pod of this.pods) await pod.close();
  }

  async #start(limits: Partial<ProxyLimits>): Promise<void> {
    const write = (line: string): void => void this.#lines.push(JSON.parse(line) as LogLine);
    const log = createLog("waypoint", { level: "info", write }).root;
    const certificate = this.ca.issueNow(WAYPOINT);
    const deps: WaypointDeps = {
      options: {
        namespace: NAMESPACE,
        gateway: "ambit-waypoint",
        identity: WAYPOINT,
        network: "",
        clusterId: "Kubernetes",
        node: "node1",
        trustDomains: ["cluster.local"],
        port: 0,
        connectTimeoutMs: 1_000,
      },
      mesh: this.mesh,
      config: this.config,
      certificate: { current: () => certificate },
      backend: this.backend,
      metrics: this.metrics,
      clock: systemClock,
      log,
      random: inTurn(),
    };
    const hbonePort = (address: IpAddress): number => this.#hbonePorts.get(address) ?? 1;
    this.#server = await serveWaypoint(deps, {
      address: "127.0.0.1",
      limits,
      dialer: endpointDialer(deps, { tunnelTimeoutMs: 2_000, hbonePort }),
    });
  }
}

/** Every part of 0 to 1, so that no test depends on luck. */
function inTurn(): () => number {
  let turn = 0;
  return () => (turn++ % 10) / 10;
}

export interface Binding {
  readonly name: string;
  readonly port?: number;
  readonly protocol?: AppProtocol;
  readonly pods: readonly TestPod[];
  readonly policies?: readonly RequestPolicy[];
}

export interface BoundTestService {
  readonly key: ServiceKey;
  readonly service: Service;
  /** What callers dial. */
  readonly address: SocketAddress;
}

export interface TunnelGiven {
  /** To have several streams in one tunnel. */
  readonly pool?: HbonePool;
  readonly fields?: { readonly baggage?: string; readonly forwarded?: string };
}

const NOTHING_BOUND: WaypointConfig = {
  name: NAME,
  automatic: true,
  pathNormalization: "base",
  clientCertField: false,
  services: [],
  workloads: [],
  policies: [],
};

/** The serving end of a pod's tunnels, as its ztunnel is, in front of an application on the pod's address. */
export class TestPod {
  readonly workload: Workload;
  readonly appPort: number;
  readonly address: IpAddress;
  /** Identities of those who opened a stream. */
  readonly peers: string[] = [];
  /** Answers every CONNECT with it. */
  refuseWith: 401 | 503 | undefined;
  readonly #waypoint: TestWaypoint;
  readonly #connections: HboneServerConnection[] = [];
  #listener: Listener | undefined;

  constructor(waypoint: TestWaypoint, workload: Workload, appPort: number) {
    this.#waypoint = waypoint;
    this.workload = workload;
    this.appPort = appPort;
    this.address = workload.addresses[0] ?? ip("127.0.0.1");
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async listen(): Promise<void> {
    const { backend, ca } = this.#waypoint;
    const certificate = ca.issueNow(workloadIdentity(this.workload) ?? identity("nobody"));
    this.#listener = await backend.listen({ ip: this.address, port: 0 }, 128, (handle) => {
      const connection = serveHbone(handle, {
        backend,
        context: serverContext(certificate),
        verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: ["cluster.local"] }),
        onConnect: (request) => {
          this.peers.push(request.peerIdentity);
          if (this.refuseWith !== undefined) return request.refuse(this.refuseWith);
          const port = request.authority.kind === "address" ? request.authority.address.port : 0;
          backend.connect({ destination: { ip: this.address, port }, timeoutMs: 1_000 }).then(
            (app) => relay(app, request.accept()),
            () => request.refuse(503),
          );
          return undefined;
        },
      });
      this.#connections.push(connection);
    });
  }

  get tunnels(): number {
    return this.#connections.length;
  }

  /** As a ztunnel does that ends: no new streams in the tunnels that there are. */
  drain(): void {
    for (const connection of this.#connections) connection.drain();
  }

  /** The tunnels that there are end at once. */
  cut(): void {
    for (const connection of this.#connections) connection.close("cut");
  }

  async close(): Promise<void> {
    this.#listener?.close();
    for (const connection of this.#connections) connection.close("the test is over");
    await Promise.all(this.#connections.map(({ done }) => done));
  }
}
