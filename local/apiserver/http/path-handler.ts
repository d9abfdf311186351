/** Requests outside the resources: discovery, OpenAPI, health, version. Documents are cached until a CRD changes. */
import { aggregatedDiscovery, AGGREGATED_TYPE, legacyDiscovery } from "../discovery/groups.ts";
import { openApiDocument, openApiIndex } from "../discovery/openapi.ts";
import type { JsonMap } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import type { AnswerWriter } from "./answer.ts";
import { negotiate } from "./negotiate.ts";
import { unknownPath } from "./status-error.ts";

const OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const VERSION: JsonMap = {
  major: "1",
  minor: "36",
  gitVersion: "v1.36.0+ambit",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "",
  compiler: "node",
  platform: "linux/amd64",
};

export class PathHandler {
  readonly #deps: RestDeps;
  readonly #address: () => string;
  readonly #documents = new Map<string, string>();
  #generation = -1;

  constructor(deps: RestDeps, address: () => string) {
    this.#deps = deps;
    this.#address = address;
  }

  handle(path: string, accept: string | undefined, answer: AnswerWriter): void {
    if (/^\/(healthz|livez|readyz)(\/|$)/.test(path))
      return answer.text(200, "ok", "text/plain; charset=utf-8");
    if (path === "/version") return answer.json(200, VERSION);
    if (path === "/")
      return answer.json(200, {
        paths: ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"],
      });
    if (path === "/openapi/v2") return this.#openApiV2(accept, answer);
    const form = negotiate(accept);
    if (form === "aggregated" && (path === "/api" || path === "/apis")) {
      const document = this.#cached(`aggregated ${path}`, () =>
        aggregatedDiscovery(this.#deps.registry.resources, path === "/api"),
      );
      return answer.text(200, document ?? "", AGGREGATED_TYPE);
    }
    const document = this.#cached(path, () => this.#document(path));
    if (document === undefined) throw unknownPath();
    return answer.text(200, document);
  }

  #document(path: string): JsonMap | undefined {
    const { registry } = this.#deps;
    if (path === "/openapi/v3") return openApiIndex(registry);
    if (path.startsWith("/openapi/v3/")) return openApiDocument(registry, path.slice("/openapi/v3/".length));
    return legacyDiscovery(registry.resources, path, this.#address());
  }

  /** An empty protobuf document makes old kubectl skip its own validation; the server validates anyway. */
  #openApiV2(accept: string | undefined, answer: AnswerWriter): void {
    if (accept?.includes("proto-openapi") === true) return answer.text(200, "", OPENAPI_V2);
    answer.json(200, {
      swagger: "2.0",
      info: { title: "Kubernetes", version: "v1.36.0" },
      paths: {},
      definitions: {},
    });
  }

  #cached(key: string, make: () => JsonMap | undefined): string | undefined {
    const { generation } = this.#deps.registry;
    if (generation !== this.#generation) this.#documents.clear();
    this.#generation = generation;
    const known = this.#documents.get(key);
    if (known !== undefined) return known;
    const made = make();
    if (made === undefined) return undefined;
    const text = JSON.stringify(made);
    this.#documents.set(key, text);
    return text;
  }
}
