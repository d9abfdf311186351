/** How this process reaches the controller over gRPC: TLS 1.3 to the given roots alone, no resolver tricks, no retries. */
import { createSecureContext } from "node:tls";
import { type ChannelOptions, credentials, type ChannelCredentials, Metadata, status } from "@grpc/grpc-js";
import { AmbitError } from "../runtime/errors.ts";
import { parseTrustBundle } from "./trust-bundle.ts";
import { HBONE_CIPHERS } from "./tls-options.ts";

/** Throws TRUST_BUNDLE_UNUSABLE without a usable root: an absent `ca` would trust the public web. */
export function channelCredentials(rootsPem: string): ChannelCredentials {
  const roots = parseTrustBundle(rootsPem);
  if (!roots.ok || roots.value.length === 0) {
    const why = roots.ok ? "there is none" : (roots.problems[0]?.message ?? "unreadable");
    throw new AmbitError("TRUST_BUNDLE_UNUSABLE", `no trust anchors for the controller: ${why}`, {
      retryable: true,
    });
  }
  const context = createSecureContext({
    ca: [...roots.value],
    minVersion: "TLSv1.3",
    ciphers: HBONE_CIPHERS,
  });
  return credentials.createFromSecureContext(context);
}

export interface ChannelLimits {
  readonly maxReceiveBytes: number;
  /** Name in the server's certificate, when it differs from the host dialled. */
  readonly serverName: string | undefined;
}

export function channelOptions({ maxReceiveBytes, serverName }: ChannelLimits): ChannelOptions {
  return {
    "grpc.max_receive_message_length": maxReceiveBytes,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    // Every client has its own connection: a new client must mean new roots and a new token.
    "grpc.use_local_subchannel_pool": 1,
    ...(serverName === undefined
      ? {}
      : { "grpc.ssl_target_name_override": serverName, "grpc.default_authority": serverName }),
  };
}

/** Headers of every call: who asks, and of which cluster. */
export function callMetadata(
  token: string,
  clusterId: string,
  extra: Readonly<Record<string, string>> = {},
): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  metadata.set("clusterid", clusterId);
  for (const [key, value] of Object.entries(extra)) metadata.set(key.toLowerCase(), value);
  return metadata;
}

/** `UNAVAILABLE` for 14. */
export function statusName(code: number): string {
  return status[code] ?? `status ${code}`;
}

/** Messages are encoded by core/wire already. */
export function identitySerializer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function identityDeserializer(bytes: Buffer): Buffer {
  return bytes;
}
