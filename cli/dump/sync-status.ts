/**
 * Pure. The controller's `GET /debug/syncz`: which client has acknowledged what. Read in the form that Istio's
 * `istio.io/debug/syncz` has in JSON (resources of type ClientConfig, or a bare list of them):
 *
 *     {"resources": [{"node": {"id": "ztunnel-x.istio-system",
 *                              "metadata": {"CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "0.1.0"}},
 *                     "genericXdsConfigs": [{"typeUrl": "type.googleapis.com/istio.workload.Address",
 *                                            "configStatus": "SYNCED", "lastUpdated": "2026-01-01T00:00:00Z"}]}]}
 */
import { parsed, problem, type Parsed } from "#core/base/parse-result.ts";
import { jsonList, jsonObject, type JsonObject } from "#core/k8s/json-read.ts";
import { field, objectField, objectsField, textField } from "./json-fields.ts";

export interface TypeStatus {
  readonly typeUrl: string;
  /** SYNCED, STALE, NOT SENT, IGNORED or ERROR. */
  readonly status: string;
  /** RFC 3339; empty if never. */
  readonly lastUpdated: string;
  /** What the proxy answered when it refused; empty otherwise. */
  readonly error: string;
}

export interface ClientStatus {
  readonly raw: JsonObject;
  readonly proxy: string;
  readonly cluster: string;
  readonly version: string;
  readonly types: readonly TypeStatus[];
}

export function parseSyncStatus(text: string): Parsed<readonly ClientStatus[]> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return problem("", "is not JSON");
  }
  const list = Array.isArray(json) ? json : field(jsonObject(json), "resources");
  if (!Array.isArray(list)) return problem("resources", "is not a list");
  return parsed(jsonList(list).map(jsonObject).map(clientStatus));
}

function clientStatus(raw: JsonObject): ClientStatus {
  const node = objectField(raw, "node");
  const metadata = objectField(node, "metadata");
  return {
    raw,
    proxy: textField(node, "id").split("~")[2] ?? textField(node, "id"),
    cluster: textField(metadata, "CLUSTER_ID"),
    version: textField(metadata, "ISTIO_VERSION"),
    types: eitherField(raw, "genericXdsConfigs", "generic_xds_configs").map((config) => ({
      typeUrl: textField(config, "typeUrl") || textField(config, "type_url"),
      status: (
        textField(config, "configStatus") ||
        textField(config, "config_status") ||
        "UNKNOWN"
      ).replaceAll("_", " "),
      lastUpdated: textField(config, "lastUpdated") || textField(config, "last_updated"),
      error:
        textField(objectField(config, "errorState"), "details") ||
        textField(objectField(config, "error_state"), "details"),
    })),
  };
}

/** Protobuf's JSON writes camelCase, or the original names when told to. */
function eitherField(raw: JsonObject, camel: string, snake: string): readonly JsonObject[] {
  return field(raw, camel) === undefined ? objectsField(raw, snake) : objectsField(raw, camel);
}
