/**
 * The bare engine as two processes, without policy, log or metrics: `engine-probe.ts a|b [raw|public]`. `a` listens on
 * 7001-7003 and tunnels to `b` on 7101, which dials 6001-6003; all on loopback. Certificates come from the directory in
 * ENGINE_PROBE_CERTS (ca.pem, ca.key), which `b` fills when it is empty. For comparing backends, not for publication.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import { HbonePool, type HbonePoolKey } from "#core/hbone/hbone-pool.ts";
import { type HboneRequest, serveHbone } from "#core/hbone/hbone-server.ts";
import { relay } from "#core/hbone/relay.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import {
  clientContext,
  peerChain,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "#core/identity/tls-options.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { ip } from "#core/net/ip.ts";

const LOOPBACK = ip("127.0.0.1");
const PORTS = [1, 2, 3] as const;
const trustDomain = "cluster.local";
const [role, wanted] = process.argv.slice(2);
const backend = chooseBackend(wanted === "raw" || wanted === "public" ? { wanted } : {});
const certificates = process.env["ENGINE_PROBE_CERTS"] ?? "/tmp";
const client = spiffeId({ trustDomain, namespace: "probe", serviceAccount: "a" });
const server = spiffeId({ trustDomain, namespace: "probe", serviceAccount: "b" });

process.on("SIGINT", () => process.exit(0));
if (role === "a") await runClient();
else await runServer();

async function runServer(): Promise<void> {
  const context = serverContext(ca().issueNow(server));
  const serve = (handle: Handle): void => {
    serveHbone(handle, {
      backend,
      context,
      verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: [trustDomain] }),
      onConnect: (request) => void accept(request),
    });
  };
  await backend.listen({ ip: LOOPBACK, port: 7101 }, 4_096, serve);
}

async function accept(request: HboneRequest): Promise<void> {
  if (request.authority.kind !== "address") {
    request.refuse(400);
    return;
  }
  try {
    const destination = request.authority.address;
    const upstream = await backend.connect({ destination, timeoutMs: 5_000 }, request.signal);
    relay(upstream, request.accept());
  } catch {
    request.refuse(503);
  }
}

async function runClient(): Promise<void> {
  const certificate = ca().issueNow(client);
  const pool = new HbonePool({ backend });
  const key: HbonePoolKey = {
    sourceIdentity: client,
    sourceIp: LOOPBACK,
    expectedIdentities: [server],
    destination: { ip: LOOPBACK, port: 7101 },
  };
  const deps = {
    connect: (destination: HbonePoolKey["destination"], signal: AbortSignal) =>
      backend.connect({ destination, timeoutMs: 5_000 }, signal),
    credentials: () => ({
      context: clientContext(certificate),
      serial: certificate.serial,
      notAfterMs: certificate.notAfterMs,
      verifyPeer: (peer: Parameters<typeof peerChain>[0]) =>
        verifyServerPeer(peerChain(peer), { expectedIdentities: [server] }),
    }),
  };
  const never = new AbortController().signal;
  for (const port of PORTS) {
    const target = { kind: "address", address: { ip: LOOPBACK, port: 6_000 + port } } as const;
    await backend.listen({ ip: LOOPBACK, port: 7_000 + port }, 4_096, (handle) => {
      pool.connect(key, { target }, deps, never).then(
        (stream) => relay(handle, stream),
        () => handle.reset(),
      );
    });
  }
}

function ca(): FileCa {
  const root = `${certificates}/probe-ca.pem`;
  const rootKey = `${certificates}/probe-ca.key`;
  if (!existsSync(root)) {
    const fresh = createFileCa({ trustDomain });
    writeFileSync(root, fresh.rootPem);
    writeFileSync(rootKey, fresh.rootKeyPem, { mode: 0o600 });
  }
  return createFileCa({
    trustDomain,
    rootPem: readFileSync(root, "utf8"),
    rootKeyPem: readFileSync(rootKey, "utf8"),
  });
}
