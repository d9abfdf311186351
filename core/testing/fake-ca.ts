/** A CA that speaks the real protocol: it signs what it is asked for, or answers what the test says. */
import { type sendUnaryData, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { buildLeaf } from "../identity/build-certificate.ts";
import { parseCsr } from "../identity/csr.ts";
import type { FileCa } from "../identity/file-ca.ts";
import { identityDeserializer, identitySerializer } from "../identity/grpc-channel.ts";
import { parseSpiffeId } from "../model/spiffe-id.ts";
import {
  type CertificateRequest,
  CREATE_CERTIFICATE_PATH,
  decodeCertificateRequest,
  encodeCertificateResponse,
} from "../wire/ca-codec.ts";
import { type RunningGrpcServer, startGrpcServer } from "./grpc-server.ts";

export interface FakeCaCall {
  readonly request: CertificateRequest;
  /** Without "Bearer ". */
  readonly token: string;
  readonly clusterId: string;
}

/** What to answer: a chain, or a gRPC status. */
export type FakeCaAnswer =
  | { readonly chain: readonly string[] }
  | { readonly code: number; readonly details: string }
  | "never";

export interface FakeCa extends RunningGrpcServer {
  readonly calls: readonly FakeCaCall[];
  /** From now on answers are made by `answer`; undefined signs again. */
  answerWith(answer: ((call: FakeCaCall) => FakeCaAnswer) | undefined): void;
}

export async function startFakeCa(ca: FileCa): Promise<FakeCa> {
  const calls: FakeCaCall[] = [];
  let special: ((call: FakeCaCall) => FakeCaAnswer) | undefined;
  const handle = (grpcCall: ServerUnaryCall<Buffer, Uint8Array>, reply: sendUnaryData<Uint8Array>): void => {
    const request = decodeCertificateRequest(grpcCall.request);
    if (!request.ok) {
      reply({ code: status.INVALID_ARGUMENT, details: request.problems[0]?.message ?? "" });
      return;
    }
    const header = (name: string): string => String(grpcCall.metadata.get(name)[0] ?? "");
    const call: FakeCaCall = {
      request: request.value,
      token: header("authorization").replace(/^Bearer /, ""),
      clusterId: header("clusterid"),
    };
    calls.push(call);
    const answer = special === undefined ? sign(ca, call) : special(call);
    if (answer === "never") return;
    if ("chain" in answer) reply(null, encodeCertificateResponse({ certChain: answer.chain }));
    else reply(answer);
  };
  const definition = {
    createCertificate: {
      path: CREATE_CERTIFICATE_PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: identitySerializer,
      requestDeserialize: identityDeserializer,
      responseSerialize: identitySerializer,
      responseDeserialize: identityDeserializer,
    },
  };
  const running = await startGrpcServer(ca, (server) =>
    server.addService(definition, { createCertificate: handle }),
  );
  return {
    ...running,
    calls,
    answerWith: (answer) => {
      special = answer;
    },
  };
}

function sign(ca: FileCa, call: FakeCaCall): FakeCaAnswer {
  const csr = parseCsr(call.request.csrPem);
  const named = call.request.metadata["ImpersonatedIdentity"];
  const wanted = parseSpiffeId(typeof named === "string" ? named : "");
  if (!csr.ok || !wanted.ok) return { code: status.INVALID_ARGUMENT, details: "bad request" };
  const nowMs = Date.now();
  const leaf = buildLeaf(ca.signer, {
    identity: wanted.value,
    publicKeyDer: csr.value.publicKeyDer,
    notBeforeMs: nowMs - 120_000,
    notAfterMs: nowMs + (call.request.validitySeconds || 86_400) * 1000,
  });
  return { chain: [leaf, ca.rootPem] };
}
