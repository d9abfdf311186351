/** Port 15012: xDS and CA over TLS, both by @grpc/grpc-js with serializers that pass bytes through. */
import {
  type sendUnaryData,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { CREATE_CERTIFICATE_PATH, MAX_CERTIFICATE_REQUEST_BYTES } from "#core/wire/ca-codec.ts";
import { DELTA_STREAM_PATH, MAX_DELTA_REQUEST_BYTES } from "#core/wire/xds-codec.ts";
import type { CaService } from "./ca/ca-service.ts";
import type { DeltaServer } from "./push/delta-server.ts";
import { grpcCredentials, grpcTransport } from "./push/transport-grpc.ts";

export interface GrpcServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly ca: CaService;
  readonly xds: DeltaServer;
  readonly log: Logger;
}

export interface RunningServer {
  readonly port: number;
  /** Finishes open calls within `graceMs`, then cuts. */
  stop(graceMs: number): Promise<void>;
}

const bytesAsTheyAre = (bytes: Buffer): Buffer => bytes;

const definition = (path: string, streaming: boolean): ServiceDefinition => ({
  method: {
    path,
    requestStream: streaming,
    responseStream: streaming,
    requestSerialize: bytesAsTheyAre,
    requestDeserialize: bytesAsTheyAre,
    responseSerialize: bytesAsTheyAre,
    responseDeserialize: bytesAsTheyAre,
  },
});

export async function startGrpcServer(options: GrpcServerOptions): Promise<RunningServer> {
  const server = new Server({
    "grpc.max_receive_message_length": MAX_DELTA_REQUEST_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_concurrent_streams": 1_000,
  });
  const streams: UntypedServiceImplementation = {
    method: (call: ServerDuplexStream<Buffer, Buffer>) => options.xds.accept(grpcTransport(call)),
  };
  server.addService(definition(DELTA_STREAM_PATH, true), streams);
  server.addService(definition(CREATE_CERTIFICATE_PATH, false), certificates(options));
  const address = options.host.includes(":") ? `[${options.host}]` : options.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${address}:${options.port}`, options.credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new AmbitError("CONTROLLER_PORT", `cannot listen on ${options.port}`, { cause: error }));
    });
  });
  return { port, stop: (graceMs) => stopServer(server, graceMs) };
}

function certificates({ ca, log }: GrpcServerOptions): UntypedServiceImplementation {
  return {
    method: (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
      if (call.request.length > MAX_CERTIFICATE_REQUEST_BYTES) {
        reply({ code: status.INVALID_ARGUMENT, details: "the request is too large" });
        return;
      }
      ca.createCertificate(call.request, grpcCredentials(call.metadata, call.getPeer())).then(
        (answer) => {
          if (answer.kind === "issued") reply(null, Buffer.from(answer.response));
          else reply({ code: answer.code, details: answer.message });
        },
        (error: unknown) => {
          log.error({ error: describeError(error) }, "certificate request failed");
          reply({ code: status.INTERNAL, details: "internal error, see the controller's log" });
        },
      );
    },
  };
}

function stopServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
