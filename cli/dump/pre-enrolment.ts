/**
 * Pure. The node agent's `GET /connections`: connections of enrolled pods that are older than the enrolment and
 * bypass the mesh until they end, or until a policy covers them.
 *
 *     {"connections": [{"namespace": "shop", "name": "catalog-1", "direction": "inbound",
 *                       "local": "10.0.1.2:8080", "remote": "10.0.2.3:41234", "state": "ESTABLISHED"}]}
 */
import { parsed, problem, type Parsed } from "#core/base/parse-result.ts";
import { jsonObject, type JsonObject } from "#core/k8s/json-read.ts";
import { field, objectsField, textField } from "./json-fields.ts";

export interface PreEnrolmentConnection {
  readonly raw: JsonObject;
  readonly namespace: string;
  readonly name: string;
  readonly direction: "inbound" | "outbound";
  /** `ip:port` at the pod. */
  readonly local: string;
  readonly remote: string;
}

export const PRE_ENROLMENT = "pre-enrolment";

export function parsePreEnrolment(text: string): Parsed<readonly PreEnrolmentConnection[]> {
  let raw: JsonObject;
  try {
    raw = jsonObject(JSON.parse(text));
  } catch {
    return problem("", "is not JSON");
  }
  if (!Array.isArray(field(raw, "connections"))) return problem("connections", "is not a list");
  return parsed(objectsField(raw, "connections").map(connection));
}

function connection(raw: JsonObject): PreEnrolmentConnection {
  return {
    raw,
    namespace: textField(raw, "namespace"),
    name: textField(raw, "name"),
    direction: textField(raw, "direction") === "outbound" ? "outbound" : "inbound",
    local: textField(raw, "local"),
    remote: textField(raw, "remote"),
  };
}
