/** Certificates that the mesh must refuse, made with the mesh's own root key (as the administrator) or with a stranger's. */
import {
  buildCertificate,
  type CertificateSpec,
  type SigningCa,
  spkiOf,
} from "#core/identity/build-certificate.ts";
import { createFileCa, exportKey, newKeyPair } from "#core/identity/file-ca.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kindPath, SECRET } from "#core/k8s/kinds.ts";
import type { Mesh } from "./mesh.ts";
import type { TlsCredentials } from "./tunnel-moves.ts";

const HOUR_MS = 3_600_000;
export const FORGED_IDENTITY = "spiffe://cluster.local/ns/shop/sa/frontend";

export interface Forger {
  /** A leaf as the mesh makes them, with some facts changed. */
  forge(changed?: Partial<CertificateSpec>): TlsCredentials;
  /** A leaf signed by another leaf, which claims to be a CA. */
  underLeaf(): TlsCredentials;
  /** Everything right, but of another root. */
  foreign(): TlsCredentials;
}

export async function forger(mesh: Mesh): Promise<Forger> {
  const path = kindPath(SECRET, { namespace: "istio-system", name: "istio-ca-secret" });
  const data = jsonObject(jsonObject(await mesh.client.json({ method: "GET", path }))["data"]);
  const pem = (name: string): string => Buffer.from(jsonText(data[name]), "base64").toString("utf8");
  const ca = createFileCa({
    trustDomain: "cluster.local",
    rootPem: pem("ca-cert.pem"),
    rootKeyPem: pem("ca-key.pem"),
  });
  const stranger = createFileCa({ trustDomain: "cluster.local" });
  const make = (signer: SigningCa, changed: Partial<CertificateSpec>): Made => leafOf(signer, changed);
  const credentials = (made: Made, chain: readonly string[]): TlsCredentials => ({
    ca: ca.rootPem,
    cert: [made.certPem, ...chain].join("\n"),
    key: exportKey(made.key),
  });
  return {
    forge: (changed = {}) => credentials(make(ca.signer, changed), []),
    foreign: () => credentials(make(stranger.signer, {}), [stranger.rootPem]),
    underLeaf: () => {
      const upper = make(ca.signer, { isCa: true });
      const lower = make({ certificatePem: upper.certPem, key: upper.key }, {});
      return credentials(lower, [upper.certPem]);
    },
  };
}

interface Made {
  readonly certPem: string;
  readonly key: SigningCa["key"];
}

function leafOf(signer: SigningCa, changed: Partial<CertificateSpec>): Made {
  const { privateKey } = newKeyPair();
  const spec: CertificateSpec = {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: Date.now() - HOUR_MS,
    notAfterMs: Date.now() + HOUR_MS,
    organization: "",
    isCa: false,
    uris: [FORGED_IDENTITY],
    dnsNames: [],
    purposes: ["server", "client"],
    ...changed,
  };
  return { certPem: buildCertificate(signer, spec), key: privateKey };
}
