/** Pure. A mesh resource as it is pushed: encoded once, with a version that depends on its bytes alone. */
import { hash } from "node:crypto";
import { networkAddressKey } from "#core/model/address.ts";
import type { Authorization } from "#core/model/authorization.ts";
import type { Service } from "#core/model/service.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import type { Workload } from "#core/model/workload.ts";
import { addressResourceName, encodeAddress } from "#core/wire/address-codec.ts";
import { encodeAuthorization } from "#core/wire/authorization-codec.ts";
import { encodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { encodeResourceEntry } from "#core/wire/xds-codec.ts";

/** What a change of the resource means for the pace of pushing: endpoints hurry, configuration is gathered. */
export type ResourceKind = "workload" | "service" | "authorization" | "waypoint";

export interface EncodedResource {
  readonly kind: ResourceKind;
  readonly name: string;
  /** Hex of the first 64 bits of SHA-256 over `body`: a forged collision would hide a change from reconnecting clients. */
  readonly version: string;
  /** The message itself, without envelope. */
  readonly body: Uint8Array;
  /** The `resources` entry of a response, without aliases. */
  readonly entry: Uint8Array;
  /** Other keys under which an on-demand client may ask for it: `network/ip`. */
  readonly aliases: readonly string[];
  /** Workloads only: keys of the services it serves, and its node. */
  readonly services: readonly string[];
  readonly node: string;
}

export function encodeAddressResource(value: Workload | Service): EncodedResource {
  const isWorkload = "uid" in value;
  const body = encodeAddress(value);
  return {
    kind: isWorkload ? "workload" : "service",
    ...envelope(addressResourceName(value), TYPE_URL_ADDRESS, body),
    aliases: isWorkload
      ? value.addresses.map((ip) => networkAddressKey({ network: value.network, ip }))
      : value.vips.map(networkAddressKey),
    services: isWorkload ? [...value.services.keys()] : [],
    node: isWorkload ? value.node : "",
  };
}

export function encodeAuthorizationResource(value: Authorization): EncodedResource {
  return {
    kind: "authorization",
    ...envelope(`${value.namespace}/${value.name}`, TYPE_URL_AUTHORIZATION, encodeAuthorization(value)),
    aliases: [],
    services: [],
    node: "",
  };
}

export function encodeWaypointResource(value: WaypointConfig): EncodedResource {
  return {
    kind: "waypoint",
    ...envelope(value.name, TYPE_URL_WAYPOINT, encodeWaypointConfig(value)),
    aliases: [],
    services: [],
    node: "",
  };
}

function envelope(
  name: string,
  typeUrl: string,
  body: Uint8Array,
): Pick<EncodedResource, "name" | "version" | "body" | "entry"> {
  const version = hash("sha256", body, "hex").slice(0, 16);
  const entry = encodeResourceEntry({ name, version, typeUrl, body, aliases: [] });
  return { name, version, body, entry };
}
