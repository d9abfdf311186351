/** Pure. JSON Patch (RFC 6902) on a copy. */
import { badRequest, StatusError } from "../http/status-error.ts";
import { clone, deepEqual, isRecord } from "../object.ts";
import { setOwn } from "../schema/prune.ts";

const MAX_OPERATIONS = 10_000;

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from: string | undefined;
  readonly value: unknown;
}

/** Throws 400 for something that is not a patch and 422 when an operation does not apply. */
export function jsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("json patch must be an array of operations");
  if (patch.length > MAX_OPERATIONS) {
    throw new StatusError(
      413,
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    );
  }
  let root = clone(document);
  for (const item of patch) root = applyOperation(root, parseOperation(item));
  return root;
}

function parseOperation(item: unknown): Operation {
  if (!isRecord(item) || typeof item["op"] !== "string" || typeof item["path"] !== "string") {
    throw badRequest("error decoding patch: each operation needs op and path");
  }
  const from = item["from"];
  return {
    op: item["op"],
    path: item["path"],
    from: typeof from === "string" ? from : undefined,
    value: clone(item["value"]),
  };
}

function refused(): StatusError {
  return new StatusError(422, "the server rejected our request due to an error in our request", {
    details: {},
  });
}

function tokens(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw refused();
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function applyOperation(root: unknown, operation: Operation): unknown {
  const path = tokens(operation.path);
  switch (operation.op) {
    case "add":
      return add(root, path, operation.value);
    case "remove":
      return remove(root, path).root;
    case "replace":
      return path.length === 0 ? operation.value : add(remove(root, path).root, path, operation.value);
    case "test":
      if (!deepEqual(read(root, path), operation.value)) throw refused();
      return root;
    case "copy":
      return add(root, path, clone(read(root, tokens(operation.from ?? ""))));
    case "move": {
      const taken = remove(root, tokens(operation.from ?? ""));
      return add(taken.root, path, taken.value);
    }
    default:
      throw badRequest(`error decoding patch: unknown operation ${operation.op}`);
  }
}

function child(parent: unknown, token: string): unknown {
  if (Array.isArray(parent)) return parent[index(parent, token, parent.length - 1)];
  if (!isRecord(parent) || !Object.hasOwn(parent, token)) throw refused();
  return parent[token];
}

function index(list: readonly unknown[], token: string, last: number): number {
  const at = /^(0|[1-9]\d*)$/.test(token) ? Number(token) : -1;
  if (at < 0 || at > last) throw refused();
  return list.length === 0 && last < 0 ? -1 : at;
}

function read(root: unknown, path: readonly string[]): unknown {
  return path.reduce(child, root);
}

function add(root: unknown, path: readonly string[], value: unknown): unknown {
  const token = path.at(-1);
  if (token === undefined) return value;
  const parent = read(root, path.slice(0, -1));
  if (Array.isArray(parent))
    parent.splice(token === "-" ? parent.length : index(parent, token, parent.length), 0, value);
  else if (isRecord(parent)) setOwn(parent, token, value);
  else throw refused();
  return root;
}

function remove(root: unknown, path: readonly string[]): { root: unknown; value: unknown } {
  const token = path.at(-1);
  if (token === undefined) return { root: null, value: root };
  const parent = read(root, path.slice(0, -1));
  const value = child(parent, token);
  if (Array.isArray(parent)) parent.splice(Number(token), 1);
  else if (isRecord(parent)) delete parent[token];
  return { root, value };
}
