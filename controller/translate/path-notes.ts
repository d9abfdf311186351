/** Pure. What a policy by path does not cover, for its status: it is in force as written, and servers may read more into a path than it says. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { PathNormalization } from "#core/model/waypoint-config.ts";
import { neverMatches } from "./path-pattern.ts";

export interface PolicyNote {
  readonly path: string;
  /** A sentence without a full stop. */
  readonly message: string;
}

/** One per list of paths. */
export function pathNotes(policy: CustomObject, normalization: PathNormalization): readonly PolicyNote[] {
  const spec = jsonObject(policy.spec);
  const note = spec["action"] === "DENY" || spec["action"] === "AUDIT" ? denyNote : allowNote;
  return jsonList(spec["rules"]).flatMap((rule, i) =>
    jsonList(jsonObject(rule)["to"]).flatMap((entry, j) => {
      const path = `spec.rules[${i}].to[${j}].operation`;
      const { paths, notPaths } = jsonObject(jsonObject(entry)["operation"]);
      return [
        ...noteOn(`${path}.paths`, note(texts(paths), normalization)),
        ...noteOn(
          `${path}.notPaths`,
          note === allowNote ? denyNote(texts(notPaths), normalization) : undefined,
        ),
      ];
    }),
  );
}

function texts(list: unknown): readonly string[] {
  return jsonList(list).map(jsonText);
}

function noteOn(path: string, message: string | undefined): readonly PolicyNote[] {
  return message === undefined ? [] : [{ path, message }];
}

/** Where a path is to keep out, or to be noted: other ways to write it that a server may take for the same. */
function denyNote(paths: readonly string[], normalization: PathNormalization): string | undefined {
  const plain = paths.filter((text) => /^\/[^{}]+$/.test(text) && neverMatches("paths", text) === undefined);
  const exact = plain.find((text) => !text.endsWith("*"));
  const example = exact ?? plain[0]?.slice(0, -1);
  if (example === undefined || example === "/") return undefined;
  const others = [
    ...(normalization === "none" ? [`/.${example}`, `/x/..${example}`] : []),
    ...(normalization === "base" || normalization === "none" ? [`/${example}`] : []),
    ...(exact === undefined ? [] : [`${exact}/`, `${exact};x`]),
    ...(exact === undefined || normalization === "decode-and-merge-slashes" ? [] : [`${exact}%2F`]),
  ];
  return others.length === 0 ? undefined : `is compared as written: it does not cover ${others.join(", ")}`;
}

/** Where a pattern lets in: `..%2f` in it is a name here, and a way out of it for a server that decodes it. */
function allowNote(paths: readonly string[], normalization: PathNormalization): string | undefined {
  if (normalization === "decode-and-merge-slashes") return undefined;
  const open = paths.find((text) => /^\/.+\*$/.test(text) || text.includes("{*"));
  if (open === undefined || neverMatches("paths", open) !== undefined) return undefined;
  const example = open.includes("{")
    ? open.replace(/\{\*\*?\}/, "..%2fx").replaceAll(/\{\*\*?\}/g, "y")
    : open.replace(/\/?\*$/, "/..%2fx");
  return (
    `allows ${example} too: before a server that decodes %2f in paths, ` +
    "set pathNormalization DECODE_AND_MERGE_SLASHES in the mesh configuration"
  );
}
