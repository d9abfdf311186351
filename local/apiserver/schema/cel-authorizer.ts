/**
 * `authorizer` of admission policies, in Kubernetes' fluent form: may the caller do something else than what it asks for here?
 * `authorizer.group(g).resource(r)[.subresource(s)][.namespace(n)][.name(n)].check(verb).allowed()`; paths and accounts are not there.
 */
import { type CelFunc, celMap, type CelMap, celMethod, CelScalar, mapType } from "@bufbuild/cel";
import type { AccessRequest } from "../auth/rbac.ts";

interface Question {
  readonly allows: (access: AccessRequest) => boolean;
  readonly access: AccessRequest;
}

const { STRING, BOOL, DYN } = CelScalar;
const VALUE = mapType(DYN, DYN);
/** To an expression each step is an empty map; what was asked so far is kept here. */
const questions = new WeakMap<CelMap, Question>();

export function celAuthorizer(allows: Question["allows"]): CelMap {
  return asked({ allows, access: { verb: "" } });
}

function asked(question: Question): CelMap {
  const value = celMap(new Map());
  questions.set(value, question);
  return value;
}

function questionOf(value: CelMap): Question {
  const question = questions.get(value);
  if (question === undefined) throw new Error("not an authorizer");
  return question;
}

function step(name: string, narrow: (text: string) => Partial<AccessRequest>): CelFunc {
  return celMethod(name, VALUE, [STRING], VALUE, function (this: CelMap, text: string) {
    const { allows, access } = questionOf(this);
    return asked({ allows, access: { ...access, ...narrow(text) } });
  });
}

export const AUTHORIZER_FUNCTIONS: readonly CelFunc[] = [
  step("group", (group) => ({ group })),
  step("resource", (resource) => ({ resource })),
  step("subresource", (subresource) => ({ subresource })),
  step("namespace", (namespace) => ({ namespace })),
  step("name", (name) => ({ name })),
  step("check", (verb) => ({ verb })),
  celMethod("allowed", VALUE, [], BOOL, function (this: CelMap) {
    const { allows, access } = questionOf(this);
    return allows(access);
  }),
];
