/** Pure. Which form of an answer the client takes. */
import { StatusError } from "./status-error.ts";

export type AnswerForm = "object" | "table" | "partial" | "aggregated";

const FORMS: Readonly<Record<string, AnswerForm>> = {
  Table: "table",
  PartialObjectMetadata: "partial",
  PartialObjectMetadataList: "partial",
  APIGroupDiscoveryList: "aggregated",
};
const JSON_TYPES = new Set(["application/json", "*/*", "application/*", "application/yaml"]);

/** The first form of the Accept header that we make. Throws 406 when there is none (protobuf or CBOR alone). */
export function negotiate(accept: string | undefined): AnswerForm {
  if (accept === undefined || accept === "") return "object";
  for (const part of accept.split(",")) {
    const [type = "", ...parameters] = part
      .trim()
      .split(";")
      .map((word) => word.trim());
    if (!JSON_TYPES.has(type)) continue;
    const given = new Map(parameters.map((word) => word.split("=", 2) as [string, string]));
    const form = given.get("as");
    if (form === undefined) return "object";
    if (form === "APIGroupDiscoveryList" && given.get("v") !== "v2") continue; // v2beta1: those clients fall back to legacy
    const known = FORMS[form];
    if (known !== undefined) return known;
  }
  if (/text\/plain|proto-openapi|application\/jwk-set/.test(accept)) return "object";
  throw new StatusError(406, "only the following media types are accepted: application/json", {});
}
