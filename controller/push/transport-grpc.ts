/** An xDS stream over @grpc/grpc-js: serializers pass bytes through, since frames are encoded once for all clients. */
import type { Metadata, ServerDuplexStream } from "@grpc/grpc-js";
import type { Credentials } from "../ca/caller-identity.ts";
import type { XdsTransport, XdsTransportEvents } from "./transport.ts";

export function grpcTransport(call: ServerDuplexStream<Buffer, Buffer>): XdsTransport {
  let ended = false;
  // An error without a listener would end the process; `end` follows from `onEnd` below.
  call.on("error", () => undefined);
  return {
    credentials: grpcCredentials(call.metadata, call.getPeer()),
    start: (events: XdsTransportEvents) => {
      const end = (): void => {
        if (ended) return;
        ended = true;
        events.onEnd();
      };
      call.on("cancelled", end);
      call.on("end", () => {
        if (!ended) call.end();
        end();
      });
      call.on("close", end);
      call.on("data", (bytes: Buffer) => {
        if (!ended) events.onMessage(bytes);
      });
      if (call.cancelled) end();
    },
    write: (frame) => {
      if (!ended && !call.cancelled) call.write(Buffer.from(frame.buffer, frame.byteOffset, frame.length));
    },
    close: (code, message) => {
      if (!ended && !call.cancelled) call.emit("error", { code, details: message });
    },
  };
}

export function grpcCredentials(metadata: Metadata, peer: string): Credentials {
  const first = (key: string): string => {
    const value = metadata.get(key)[0];
    return typeof value === "string" ? value : "";
  };
  return { peer, authorization: first("authorization"), clusterId: first("clusterid") };
}
