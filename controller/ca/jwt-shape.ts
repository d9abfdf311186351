/**
 * Pure. Looks at a bearer token without verifying it: only what obviously cannot be ours is turned away here, so that
 * junk never reaches the API server. Nothing read here is believed; the TokenReview decides.
 */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";

export interface TokenShape {
  readonly expiresMs: number;
  readonly subject: string;
}

const MAX_TOKEN_BYTES = 16_384;
const SEGMENT = /^[A-Za-z0-9_-]+$/;

export function parseTokenShape(
  token: string,
  audiences: readonly string[],
  nowMs: number,
): Parsed<TokenShape> {
  const segments = token.length <= MAX_TOKEN_BYTES ? token.split(".") : [];
  if (segments.length !== 3 || !segments.every((segment) => SEGMENT.test(segment))) {
    return problem("token", "is not a JWT");
  }
  const claims = decodeClaims(segments[1] ?? "");
  const aud = claims["aud"];
  const offered = typeof aud === "string" ? [aud] : jsonList(aud).map(jsonText);
  const expiresMs = (jsonNumber(claims["exp"]) ?? 0) * 1_000;
  const subject = jsonText(claims["sub"]);
  if (!offered.some((audience) => audiences.includes(audience)))
    return problem("token", "has another audience");
  if (expiresMs <= nowMs) return problem("token", "has expired");
  if (jsonText(claims["iss"]) === "") return problem("token", "names no issuer");
  if (!subject.startsWith("system:serviceaccount:")) return problem("token", "is not of a service account");
  return parsed({ expiresMs, subject });
}

function decodeClaims(segment: string): Readonly<Record<string, unknown>> {
  try {
    return jsonObject(JSON.parse(Buffer.from(segment, "base64url").toString("utf8")));
  } catch {
    return {};
  }
}
