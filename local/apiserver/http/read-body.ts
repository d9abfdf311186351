/** Bodies: bounded in size and depth, JSON, YAML or Kubernetes' protobuf. */
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { decodeProtobufBody } from "../protobuf/decode-body.ts";
import { badRequest, StatusError } from "./status-error.ts";

const MAX_BODY = 3 * 1024 * 1024;
const MAX_DEPTH = 200;
const PROTOBUF = "application/vnd.kubernetes.protobuf";

/** Resolves to the raw body; 413 above 3 MiB. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY) {
        reject(new StatusError(413, `Request entity too large: limit is ${MAX_BODY}`));
        request.removeAllListeners("data");
        request.resume(); // the rest is read and dropped, so that the answer arrives
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
    request.on("aborted", () => reject(badRequest("the request was aborted")));
  });
}

/** The media type without parameters, in lower case. */
export function mediaType(header: string | undefined): string {
  return (header ?? "application/json").split(";")[0]?.trim().toLowerCase() || "application/json";
}

/** undefined for an empty body. Throws 400 for what cannot be read and 415 for a type nobody reads. */
export function decodeBody(body: Buffer, type: string): unknown {
  if (body.length === 0) return undefined;
  if (type === PROTOBUF) return decodeProtobufBody(body);
  const isYaml = type.includes("yaml");
  if (!isYaml && !type.includes("json") && type !== "application/octet-stream" && type !== "*/*") {
    throw new StatusError(
      415,
      "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    );
  }
  const text = body.toString();
  checkDepth(text, isYaml);
  try {
    return isYaml ? (parseYaml(text, { maxAliasCount: 100 }) as unknown) : (JSON.parse(text) as unknown);
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized: ${error instanceof Error ? (error.message.split("\n")[0] ?? "") : ""}`,
    );
  }
}

/** Nesting is bounded before parsing: everything behind this recurses. Indentation counts for YAML's block style. */
function checkDepth(text: string, isYaml: boolean): void {
  const tooDeep = (): StatusError => badRequest("the object provided is nested too deeply");
  if (isYaml && /^ {1000}/m.test(text)) throw tooDeep();
  let depth = 0;
  // strings are skipped in JSON; in YAML a bracket inside one counts, which only makes the bound stricter
  for (const [token] of text.matchAll(isYaml ? /[{}[\]]/g : /"(?:[^"\\]|\\.)*"?|[{}[\]]/gs)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    if (depth > MAX_DEPTH) throw tooDeep();
  }
}
