/**
 * HOT PATH. Step W3: what happens to every request, in this order. A step gives the reason for which the request is refused, or nothing; the first
 * reason ends it. Then W4 and W5 are `Call.forward`, and W6 (metrics, access log) is `call-record.ts`, whatever way it ended.
 */
import type { ServerExchange } from "#core/http/exchange.ts";
import { normalizeTarget } from "#core/http/normalize-path.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Caller } from "../listener/caller.ts";
import { newRequestId } from "../report/request-id.ts";
import { authorizeDestination, authorizeEndpoint, type Question } from "../policy/authorize.ts";
import { isBound } from "../listener/caller-connection.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import { notJudged } from "../policy/verdict.ts";
import { searchEndpoint } from "../upstream/search-endpoint.ts";
import { Call, type CallPlan } from "./call.ts";
import { chooseProtocol, type HttpProtocol } from "./choose-protocol.ts";
import { clientCertValue, requestFields } from "./header-hygiene.ts";
import type { Reason } from "./reasons.ts";

type Step = (call: Call, snapshot: WaypointSnapshot) => Reason | undefined;

const STEPS: readonly Step[] = [
  admit,
  cleanFields,
  normalizePath,
  authorizeService,
  chooseEndpoint,
  authorizeWorkload,
];
/** What is done again for a request that is sent again. */
const STEPS_OF_ENDPOINT: readonly Step[] = [chooseEndpoint, authorizeWorkload];
const PLAN: CallPlan = { nextEndpoint, judgeAgain, protocol };

/** `snapshot`: what the request is judged by. */
export function handleRequest(
  caller: Caller,
  exchange: ServerExchange,
  snapshot: WaypointSnapshot | undefined,
): void {
  const call = new Call(caller, exchange, PLAN, snapshot);
  try {
    const reason = run(STEPS, call, call.snapshot);
    if (reason === undefined) call.forward();
    else call.refuse(reason);
  } catch (error) {
    // Whatever is wrong, nobody gets past it.
    call.end("failure", describeError(error));
  }
}

/** Another endpoint for a request that failed on one; under the policies of now. */
function nextEndpoint(call: Call): Reason | undefined {
  const reason = run(STEPS_OF_ENDPOINT, call, policiesOfNow(call));
  if (reason !== "no-healthy-endpoint" || call.failedOn.length === 0) return reason;
  // There is no other: the same one again is better than none.
  call.failedOn.length = 0;
  return run(STEPS_OF_ENDPOINT, call, policiesOfNow(call));
}

function policiesOfNow({ caller, snapshot }: Call): WaypointSnapshot | undefined {
  const current = caller.context.snapshot();
  return isBound(caller.route, current) ? current : snapshot;
}

/** A request under way, when policies have changed. What is no longer bound may finish. */
function judgeAgain(call: Call, snapshot: WaypointSnapshot): Reason | undefined {
  const { endpoint } = call;
  const question: Question = {
    caller: call.caller,
    snapshot,
    http: call.http,
    judgement: notJudged(),
  };
  const reason =
    authorizeDestination(question) ??
    (endpoint === undefined ? undefined : authorizeEndpoint(question, endpoint));
  if (reason === undefined || reason === "not-bound") return undefined;
  call.judgement.decision = question.judgement.decision;
  return reason;
}

function protocol({ caller, head }: Call): HttpProtocol {
  const { route } = caller;
  const declared = route.kind === "service" ? route.port.appProtocol : "unknown";
  return chooseProtocol(declared, head);
}

function run(steps: readonly Step[], call: Call, snapshot: WaypointSnapshot | undefined): Reason | undefined {
  if (snapshot === undefined) return "no-configuration";
  for (const step of steps) {
    const reason = step(call, snapshot);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function admit(call: Call): Reason | undefined {
  return call.caller.context.calls.isTooMany(call) ? "too-many-requests" : undefined;
}

function cleanFields(call: Call, { config }: WaypointSnapshot): Reason | undefined {
  const { identity } = call.caller.context.deps.options;
  const { fields, requestId } = requestFields(call.head.fields, {
    newRequestId,
    clientCert: config.clientCertField ? clientCertValue(identity, call.identity) : undefined,
  });
  call.requestId = requestId;
  if (fields !== call.head.fields) call.head = { ...call.head, fields };
  return undefined;
}

/** Once, and before policy: what is compared is what goes upstream. */
function normalizePath(call: Call, { config }: WaypointSnapshot): Reason | undefined {
  const outcome = normalizeTarget(call.head.target, config.pathNormalization);
  if (outcome.kind === "refused") return "bad-path";
  const { method, authority, fields } = call.head;
  call.http = { method, path: outcome.path, authority, fields };
  if (outcome.target !== call.head.target) call.head = { ...call.head, target: outcome.target };
  return undefined;
}

function authorizeService(call: Call, snapshot: WaypointSnapshot): Reason | undefined {
  return authorizeDestination(questionOf(call, snapshot));
}

function chooseEndpoint(call: Call, snapshot: WaypointSnapshot): Reason | undefined {
  const outcome = searchEndpoint(call.caller, snapshot, call.failedOn);
  if (outcome.kind === "none") return outcome.reason;
  call.endpoint = outcome.endpoint;
  return undefined;
}

function authorizeWorkload(call: Call, snapshot: WaypointSnapshot): Reason | undefined {
  if (call.endpoint === undefined) return "no-healthy-endpoint";
  return authorizeEndpoint(questionOf(call, snapshot), call.endpoint);
}

function questionOf({ caller, http, judgement }: Call, snapshot: WaypointSnapshot): Question {
  return { caller, snapshot, http, judgement };
}
