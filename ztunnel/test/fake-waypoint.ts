/** A waypoint for tests of ztunnels: real TLS and tunnels in and out, and it does with each connection what the test says. */
import type { Listener } from "#core/handle/socket-factory.ts";
import type { HboneServerConnection } from "#core/hbone/hbone-server.ts";
import { serveHbone } from "#core/hbone/hbone-server.ts";
import { formatTarget } from "#core/hbone/connect-request.ts";
import type { HboneRequest, RefusalStatus } from "#core/hbone/hbone-request.ts";
import { HbonePool } from "#core/hbone/hbone-pool.ts";
import type { HboneStream, HboneStreamEvents } from "#core/hbone/hbone-stream.ts";
import {
  clientContext,
  peerChain,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "#core/identity/tls-options.ts";
import { workloadUid } from "#core/model/ids.ts";
import { waypointAddress } from "#core/model/waypoint.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import type { Service } from "#core/model/service.ts";
import { createLog } from "#core/runtime/log.ts";
import { systemClock } from "#core/base/clock.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import type { TestMesh, TestPod } from "./test-mesh.ts";

export const AUTOMATIC: GatewayAddress = waypointAddress("default", "ambit-waypoint", "cluster.local");

/** Through its own tunnel to the pod, refused, or left without an answer. */
export type Answer = "forward" | RefusalStatus | "silence";

/** What it was asked for. */
export interface Asked {
  readonly authority: string;
  readonly peer: string;
}

export class FakeWaypoint {
  readonly workload: Workload;
  readonly asked: Asked[] = [];
  answer: Answer = "forward";
  /** Where tunnels are forwarded to: a pod, and a port of its application. */
  target: { readonly pod: TestPod; readonly port: number } | undefined;
  readonly #mesh: TestMesh;
  readonly #pool: HbonePool;
  readonly #connections = new Set<HboneServerConnection>();
  #listener: Listener | undefined;

  constructor(mesh: TestMesh, name = "ambit-waypoint-1", serviceAccount = "ambit-waypoint") {
    this.#mesh = mesh;
    this.#pool = new HbonePool({ backend: mesh.backend });
    this.workload = aWorkload({
      uid: workloadUid(`c//Pod/default/${name}`),
      name,
      serviceAccount,
      addresses: [mesh.freshIp()],
      tunnelProtocol: "none",
      services: new Map([["default/ambit-waypoint.default.svc.cluster.local" as never, new Map()]]),
    });
  }

  static service(): Service {
    return aService({
      name: "ambit-waypoint",
      hostname: "ambit-waypoint.default.svc.cluster.local",
      vips: [],
      ports: [{ servicePort: HBONE_PORT, targetPort: HBONE_PORT, appProtocol: "unknown" }],
    });
  }

  async start(): Promise<void> {
    const [address] = this.workload.addresses;
    const identity = workloadIdentity(this.workload);
    if (address === undefined || identity === undefined) throw new Error("a waypoint has both");
    const { backend, ca, ports } = this.#mesh;
    const certificate = ca.issueNow(identity);
    const port = ports.get(`${address}:${HBONE_PORT}`) ?? 0;
    this.#listener = await backend.listen({ ip: address, port }, 16, (handle) => {
      const connection = serveHbone(handle, {
        backend,
        context: serverContext(certificate),
        notAfterMs: certificate.notAfterMs,
        clock: systemClock,
        log: createLog("waypoint", { level: "silent" }).root,
        verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: ["cluster.local"] }),
        onConnect: (request) => void this.#serve(request),
      });
      this.#connections.add(connection);
      void connection.done.then(() => this.#connections.delete(connection));
    });
    ports.set(`${address}:${HBONE_PORT}`, this.#listener.port);
  }

  /** As a kill does: nothing listens, every tunnel is gone. */
  async stop(): Promise<void> {
    this.#listener?.close();
    for (const connection of this.#connections) connection.close("the waypoint is gone");
    await Promise.all([...this.#connections].map((connection) => connection.done));
    await this.#pool.close();
  }

  async #serve(request: HboneRequest): Promise<void> {
    this.asked.push({ authority: formatTarget(request.authority), peer: request.peerIdentity });
    if (this.answer === "silence") return;
    if (this.answer !== "forward") return request.refuse(this.answer);
    const stream = request.accept();
    try {
      join(stream, await this.#dial());
    } catch {
      stream.reset();
    }
  }

  #dial(): Promise<HboneStream> {
    const identity = workloadIdentity(this.workload);
    const { target, workload } = this;
    const [sourceIp] = workload.addresses;
    if (target === undefined || identity === undefined || sourceIp === undefined)
      throw new Error("no target");
    const { pod, port } = target;
    const certificate = this.#mesh.ca.issueNow(identity);
    const expected = workloadIdentity(pod.workload);
    const expectedIdentities = expected === undefined ? [] : [expected];
    const destination = { ip: pod.address, port: HBONE_PORT };
    return this.#pool.connect(
      { sourceIdentity: identity, sourceIp, expectedIdentities, destination },
      { target: { kind: "address", address: { ip: pod.address, port } } },
      {
        connect: () =>
          this.#mesh.backend.connect({
            destination: { ip: pod.address, port: this.#mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 1 },
            sourceIp,
            timeoutMs: 2_000,
          }),
        credentials: () => ({
          context: clientContext(certificate),
          serial: certificate.serial,
          notAfterMs: certificate.notAfterMs,
          verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities }),
        }),
      },
      AbortSignal.timeout(2_000),
    );
  }
}

/** Bytes from one stream to the other and back; small ones, so without back-pressure. */
function join(a: HboneStream, b: HboneStream): void {
  a.start(toward(b));
  b.start(toward(a));
}

function toward(other: HboneStream): HboneStreamEvents {
  return {
    onTunnelData: (pieces) => {
      for (const piece of pieces) other.write(piece);
      return "consumed";
    },
    onTunnelEnd: () => other.end(),
    onTunnelWritable: () => undefined,
    onTunnelLoss: () => other.reset(),
  };
}
