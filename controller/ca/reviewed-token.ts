/** Pure. What a TokenReview says about a token, in the strict reading: an account's token that is bound to a pod. */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";

export interface ReviewedToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly accountUid: string;
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
}

const USER = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const EXTRA = "authentication.kubernetes.io/";

/** `raw` is the answer to the review. */
export function readReview(raw: unknown, audiences: readonly string[]): Parsed<ReviewedToken> {
  const status = jsonObject(jsonObject(raw)["status"]);
  if (status["authenticated"] !== true) return problem("token", "is not authenticated");
  const granted = jsonList(status["audiences"]).map(jsonText);
  if (!granted.some((audience) => audiences.includes(audience)))
    return problem("token", "has another audience");
  const user = jsonObject(status["user"]);
  const [, namespace = "", serviceAccount = ""] = USER.exec(jsonText(user["username"])) ?? [];
  if (namespace === "") return problem("token", "is not of a service account");
  const extra = jsonObject(user["extra"]);
  const one = (key: string): string => jsonText(jsonList(extra[`${EXTRA}${key}`])[0]);
  const token = {
    namespace,
    serviceAccount,
    accountUid: jsonText(user["uid"]),
    podName: one("pod-name"),
    podUid: one("pod-uid"),
    nodeName: one("node-name"),
  };
  if (token.podName === "" || token.podUid === "") return problem("token", "is not bound to a pod");
  return token.nodeName === "" ? problem("token", "is not bound to a node") : parsed(token);
}
