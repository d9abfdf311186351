/** Pure. What a URL and method ask for, before anything is looked up. */

export interface ResourceRequest {
  readonly kind: "resource";
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
  /** What authorization sees: a collection narrowed to one object by its field selector counts as that object. */
  readonly authorizedName: string;
  readonly subresource: string;
  /** As RBAC names it. */
  readonly verb: string;
}

export interface PathRequest {
  readonly kind: "path";
  readonly path: string;
  readonly verb: string;
}

export type RequestInfo = ResourceRequest | PathRequest | { readonly kind: "malformed" };

const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);

export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const [root, ...rest] = path.split("/").filter((part) => part !== "");
  const prefix = root === "api" ? 1 : 2; // version, or group and version
  if ((root !== "api" && root !== "apis") || rest.length <= prefix) {
    return { kind: "path", path: path === "/" ? path : path.replace(/\/$/, ""), verb: method.toLowerCase() };
  }
  const [version = "", group = ""] = rest.slice(0, prefix).toReversed();
  const place = decodeParts(rest.slice(prefix));
  if (place === undefined) return { kind: "malformed" };
  const { namespace, parts: inside } = namespaceOf(place);
  return inside.length > 3
    ? { kind: "malformed" }
    : { group, version, namespace, ...aboutObject(method, inside, query) };
}

function aboutObject(method: string, parts: readonly string[], query: URLSearchParams): ObjectPart {
  const [plural = "", name = "", subresource = ""] = parts;
  const authorizedName = name === "" ? selectedName(query) : name;
  return { kind: "resource", plural, name, subresource, verb: verbOf(method, name, query), authorizedName };
}

type ObjectPart = Omit<ResourceRequest, "group" | "version" | "namespace">;

function decodeParts(parts: readonly string[]): string[] | undefined {
  try {
    return parts.map((part) => decodeURIComponent(part));
  } catch {
    return undefined; // a stray % sign
  }
}

/** `namespaces/x/pods` is about pods; `namespaces/x` and `namespaces/x/status` are about the namespace. */
function namespaceOf(parts: readonly string[]): { namespace: string; parts: readonly string[] } {
  const [first, namespace = "", third] = parts;
  if (
    first === "namespaces" &&
    third !== undefined &&
    !(parts.length === 3 && NAMESPACE_SUBRESOURCES.has(third))
  ) {
    return { namespace, parts: parts.slice(2) };
  }
  return { namespace: "", parts };
}

function verbOf(method: string, name: string, query: URLSearchParams): string {
  switch (method) {
    case "GET":
    case "HEAD":
      if (isTrue(query.get("watch"))) return "watch";
      return name === "" ? "list" : "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    default:
      return method.toLowerCase();
  }
}

function selectedName(query: URLSearchParams): string {
  return /^metadata\.name={1,2}([^,!=]+)$/.exec(query.get("fieldSelector") ?? "")?.[1] ?? "";
}

export function isTrue(value: string | null): boolean {
  return value === "true" || value === "1" || value === "";
}
