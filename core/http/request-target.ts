/** HOT PATH, pure. Method and target of a request (RFC 9110 9.1, RFC 9112 3.2), reduced to what may go upstream. */
import { isAuthority, sameAuthority } from "./authority.ts";
import type { HttpVersion, Refusal } from "./message.ts";
import { refusal } from "./raw-head.ts";

/** Methods in capitals, as Istio's policies write them; WebDAV and other extensions pass. */
export function methodProblem(method: string): Refusal | undefined {
  switch (method) {
    case "GET":
    case "POST":
    case "PUT":
    case "HEAD":
    case "DELETE":
      return undefined;
    case "CONNECT":
    case "TRACE":
      return NOT_ALLOWED;
    default:
      return METHOD.test(method) ? undefined : BAD_METHOD;
  }
}

/** `/path?query` as sent, or `*` of OPTIONS. HTTP/1 may name the authority in the target: it must be that of `host`. */
export function readTarget(
  method: string,
  target: string,
  authority: string,
  version: HttpVersion,
): string | Refusal {
  if (target.charCodeAt(0) === SLASH) return ORIGIN_FORM.test(target) ? target : BAD_CHARACTER;
  if (target === "*") return method === "OPTIONS" ? target : BAD_STAR;
  return version === "2" ? BAD_FORM : absoluteForm(method, target, authority);
}

function absoluteForm(method: string, target: string, authority: string): string | Refusal {
  const match = ABSOLUTE.exec(target);
  if (match === null) return BAD_FORM;
  const [, named = "", rest = ""] = match;
  if (!isAuthority(named)) return BAD_FORM;
  if (!sameAuthority(named, authority)) return OTHER_AUTHORITY;
  if (rest === "") return method === "OPTIONS" ? "*" : "/";
  const origin = rest.startsWith("/") ? rest : `/${rest}`;
  return ORIGIN_FORM.test(origin) ? origin : BAD_CHARACTER;
}

const SLASH = 0x2f;
const METHOD = /^[A-Z][A-Z-]{0,31}$/;
/** Visible ASCII without a fragment. */
const ORIGIN_FORM = /^[!-"$-~]+$/;
const ABSOLUTE = /^http:\/\/([^/?#]+)(.*)$/i;
const NOT_ALLOWED = refusal(405, "method is not served here");
const BAD_METHOD = refusal(400, "method is none that may be forwarded");
const BAD_CHARACTER = refusal(400, "forbidden character in the request target");
const BAD_STAR = refusal(400, "asterisk as target of another method than OPTIONS");
const BAD_FORM = refusal(400, "request target is neither a path nor an http URL of this host");
const OTHER_AUTHORITY = refusal(400, "request target and host name different authorities");
