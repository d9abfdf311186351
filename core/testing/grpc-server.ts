/** A gRPC server over TLS on loopback, with the server certificate of a test CA. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { buildServerLeaf, spkiOf } from "../identity/build-certificate.ts";
import { exportKey, type FileCa, newKeyPair } from "../identity/file-ca.ts";

export interface RunningGrpcServer {
  /** `localhost:port`. */
  readonly address: string;
  /** Ends every connection; the port is free afterwards. */
  stop(): void;
}

/** Listens on `port` (0: any) after `register` has added the services. */
export async function startGrpcServer(
  ca: FileCa,
  register: (server: Server) => void,
  port = 0,
): Promise<RunningGrpcServer> {
  const server = new Server({ "grpc.max_receive_message_length": 32 * 1024 * 1024 });
  register(server);
  const { privateKey } = newKeyPair();
  const leaf = buildServerLeaf(ca.signer, {
    dnsNames: ["localhost", "istiod.istio-system.svc"],
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000,
  });
  const pair = { cert_chain: Buffer.from(leaf), private_key: Buffer.from(exportKey(privateKey)) };
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`localhost:${port}`, ServerCredentials.createSsl(null, [pair]), (error, bindPort) =>
      error === null ? resolve(bindPort) : reject(error),
    );
  });
  return { address: `localhost:${bound}`, stop: () => server.forceShutdown() };
}
