/**
 * Shows whose certificate an enrolled pod presents: gets a certificate for IDENTITY from the CA, as ztunnel does, dials
 * TARGET (`ip:15008`) with it and prints the peer's SPIFFE URI and serial. Runs inside a ztunnel container, whose token
 * and roots it uses.
 */
import { connect } from "node:tls";
import { CaClient } from "#core/identity/ca-client.ts";
import { readBearerToken } from "#core/identity/bearer-token.ts";
import { clientContext, HBONE_ALPN, peerChain } from "#core/identity/tls-options.ts";
import { readTrustBundle } from "#core/identity/trust-bundle.ts";
import { parseCertificate } from "#core/identity/x509.ts";
import { parseSpiffeId } from "#core/model/spiffe-id.ts";
import { parseSocketAddress } from "#core/net/socket-address.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { describeProblems, type Parsed } from "#core/base/parse-result.ts";

function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(describeProblems(result.problems));
  return result.value;
}

const env = new EnvReader();
const identity = must(parseSpiffeId(env.string("IDENTITY", { help: "whose certificate to ask for" })));
const target = must(parseSocketAddress(env.string("TARGET", { help: "ip:port to dial" })));
const ca = new CaClient(
  {
    log: silentLogger,
    readRoots: () => readTrustBundle("/var/run/secrets/istio/root-cert.pem"),
    readToken: () => readBearerToken("/var/run/secrets/tokens/istio-token"),
  },
  {
    address: "istiod.istio-system.svc:15012",
    clusterId: "Kubernetes",
    validitySeconds: 600,
    impersonate: true,
    timeoutMs: 5_000,
  },
);
const certificate = await ca.issue(identity, AbortSignal.timeout(10_000));
const socket = connect({
  host: target.ip,
  port: target.port,
  secureContext: clientContext(certificate),
  ALPNProtocols: [...HBONE_ALPN],
  checkServerIdentity: () => undefined, // the name is a SPIFFE URI, read below
  timeout: 5_000,
});
socket.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
socket.on("secureConnect", () => {
  const peer = socket.getPeerX509Certificate();
  const [leaf] = peer === undefined ? [] : peerChain(peer);
  if (leaf === undefined) throw new Error("the peer showed no certificate");
  const fields = must(parseCertificate(leaf));
  process.stdout.write(
    `${JSON.stringify({ protocol: socket.getProtocol(), uri: fields.uris, serial: fields.serial })}\n`,
  );
  process.exit(0);
});
