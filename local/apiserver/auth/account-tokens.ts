/**
 * Service account tokens: ES256 JWTs bound to an account and, usually, to a pod and its node. Verification looks at the store every
 * time: a token dies with its pod or account at once, and a pod of the same name does not revive it.
 */
import { createHash, type KeyObject, randomUUID, sign, verify } from "node:crypto";
import type { Clock } from "#core/base/clock.ts";
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { type ApiObject, dig, digString, isRecord, type JsonMap } from "../object.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { publicKeyOf } from "./pki.ts";
import { serviceAccountUser, type UserInfo } from "./user.ts";

export const ISSUER = "https://kubernetes.default.svc.cluster.local";

export interface TokenSubject {
  readonly account: ApiObject;
  readonly pod: ApiObject | undefined;
  readonly secret: ApiObject | undefined;
}

export interface VerifiedToken {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

interface Claims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly nbf: number;
  readonly iss: string;
  readonly jti: string;
  readonly namespace: string;
  readonly bound: JsonMap;
}

const MAX_TOKEN_LENGTH = 8192;

export class AccountTokens {
  readonly #key: KeyObject;
  readonly #public: KeyObject;
  readonly #keyId: string;
  readonly #store: ObjectStore;
  readonly #clock: Clock;

  constructor(key: KeyObject, store: ObjectStore, clock: Clock) {
    this.#key = key;
    this.#public = publicKeyOf(key);
    this.#keyId = createHash("sha256")
      .update(this.#public.export({ type: "spki", format: "der" }))
      .digest("base64url");
    this.#store = store;
    this.#clock = clock;
  }

  /** `seconds` is the life asked for; the caller has checked its bounds. */
  issue(
    subject: TokenSubject,
    audiences: readonly string[],
    seconds: number,
  ): { token: string; expiresMs: number } {
    const { account, pod, secret } = subject;
    const namespace = account.metadata.namespace ?? "";
    const issued = Math.floor(this.#clock.nowMs() / 1000);
    const claims = {
      aud: audiences,
      exp: issued + seconds,
      iat: issued,
      iss: ISSUER,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace,
        ...(pod === undefined ? {} : this.#nodeClaim(pod)),
        ...(pod === undefined ? {} : { pod: nameAndUid(pod) }),
        ...(secret === undefined ? {} : { secret: nameAndUid(secret) }),
        serviceaccount: nameAndUid(account),
      },
      nbf: issued,
      sub: serviceAccountUser(namespace, account.metadata.name),
    };
    const body = `${encode({ alg: "ES256", kid: this.#keyId })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(body), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return { token: `${body}.${signature.toString("base64url")}`, expiresMs: claims.exp * 1000 };
  }

  /** Signature, time, audience; then that account, pod and secret still exist with the same uid. */
  verify(token: string, audiences: readonly string[]): Parsed<VerifiedToken> {
    const claims = this.#signedClaims(token);
    if (claims === undefined) return problem("", "invalid bearer token");
    const now = this.#clock.nowMs() / 1000;
    if (claims.iss !== ISSUER) return problem("", "invalid bearer token, issuer is not this cluster");
    if (now >= claims.exp) return problem("", "invalid bearer token, token has expired");
    if (now + 1 < claims.nbf) return problem("", "invalid bearer token, token is not valid yet");
    const shared = audiences.filter((audience) => claims.aud.includes(audience));
    if (shared.length === 0) {
      const [own, wanted] = [claims.aud, audiences].map((list) =>
        JSON.stringify(list).replaceAll('","', '" "'),
      );
      return problem(
        "",
        `[invalid bearer token, token audiences ${own} is invalid for the target audiences ${wanted}]`,
      );
    }
    const missing = this.#missingObject(claims);
    if (missing !== undefined) return problem("", `invalid bearer token, ${missing} has been deleted`);
    return parsed({ user: userOf(claims), audiences: shared });
  }

  #signedClaims(token: string): Claims | undefined {
    const [header = "", payload = "", signature = "", ...rest] = token.split(".");
    if (token.length > MAX_TOKEN_LENGTH || rest.length > 0 || signature === "") return undefined;
    const key = { key: this.#public, dsaEncoding: "ieee-p1363" as const };
    if (!verify("sha256", Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, "base64url")))
      return undefined;
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString()); // ours: the signature held
    if (!isRecord(claims)) return undefined;
    const bound = claims["kubernetes.io"];
    return isRecord(bound)
      ? ({ ...claims, namespace: String(bound["namespace"]), bound } as unknown as Claims)
      : undefined;
  }

  #missingObject(claims: Claims): string | undefined {
    const stored = (table: string, claim: string): boolean => {
      const name = digString(claims.bound, claim, "name") ?? "";
      const found = this.#store.get(table, `${claims.namespace}/${name}`);
      return found !== undefined && found.metadata.uid === digString(claims.bound, claim, "uid");
    };
    if (!stored("serviceaccounts", "serviceaccount")) return "service account";
    if (claims.bound["pod"] !== undefined && !stored("pods", "pod")) return "pod";
    if (claims.bound["secret"] !== undefined && !stored("secrets", "secret")) return "secret";
    return undefined;
  }

  #nodeClaim(pod: ApiObject): JsonMap {
    const name = digString(pod.spec, "nodeName");
    if (name === undefined || name === "") return {};
    const uid = this.#store.get("nodes", name)?.metadata.uid;
    return { node: { name, ...(uid === undefined ? {} : { uid }) } };
  }
}

function userOf(claims: Claims): UserInfo {
  const { bound, namespace } = claims;
  const name = digString(bound, "serviceaccount", "name") ?? "";
  const extra: Record<string, string[]> = {
    "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`],
  };
  for (const kind of ["pod", "node"]) {
    for (const part of ["name", "uid"]) {
      const value = dig(bound, kind, part);
      if (typeof value === "string") extra[`authentication.kubernetes.io/${kind}-${part}`] = [value];
    }
  }
  return {
    username: serviceAccountUser(namespace, name),
    uid: digString(bound, "serviceaccount", "uid"),
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra,
  };
}

function nameAndUid(object: ApiObject): { name: string; uid: string } {
  return { name: object.metadata.name, uid: object.metadata.uid ?? "" };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
