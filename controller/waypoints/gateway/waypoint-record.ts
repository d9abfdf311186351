/**
 * Pure. What the controller keeps on a Gateway (annotation `ambit.io/binding`, JSON): the Deployment that it made, and every
 * binding with its stage. Admission lets nobody else write it; it is read strictly all the same.
 */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { type Attachment, attachmentFields, readAttachments } from "../takeover/attachment.ts";
import { type Binding, type BindingScope, type Stage, STAGES } from "../binding/binding.ts";

export interface WaypointRecord {
  /** `metadata.uid` of the Deployment that the controller has applied; "" before. */
  readonly deploymentUid: string;
  readonly bindings: readonly Binding[];
  /** Of a waypoint that people made: whom it serves. */
  readonly attached?: readonly Attachment[];
}

export const NO_RECORD: WaypointRecord = { deploymentUid: "", bindings: [] };

const FORM = 1;
const MAX_BYTES = 200_000;
const MAX_BINDINGS = 500;
const POLICY = /^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/;
const NAME = /^[a-z0-9.-]{1,253}$/;
const MAX_FIELD = 256;
/** Of a binding beside its scope, whatever its stage and field may become. */
const ENTRY_BYTES = 512 + MAX_FIELD;
const HEAD_BYTES = 512;

export function formatRecord({ deploymentUid, bindings, attached = [] }: WaypointRecord): string {
  const listed = bindings.map(({ policy, field, scope, stage, sinceMs }) => ({
    policy,
    field: field.slice(0, MAX_FIELD),
    ...scopeFields(scope),
    stage,
    since: new Date(sinceMs).toISOString(),
  }));
  return JSON.stringify({
    form: FORM,
    deployment: deploymentUid,
    bindings: listed,
    ...(attached.length > 0 && { attached: attached.map(attachmentFields) }),
  });
}

/**
 * Whether one more binding can be kept. What could not be read again would take every other one with it, and everything that is bound
 * would be open.
 */
export function recordHasRoom(
  bindings: readonly Pick<Binding, "scope">[],
  one: Pick<Binding, "scope">,
): boolean {
  const sizes = [...bindings, one].map(
    ({ scope }) => JSON.stringify(scopeFields(scope)).length + ENTRY_BYTES,
  );
  const total = sizes.reduce((sum, size) => sum + size, HEAD_BYTES);
  return (
    sizes.length <= MAX_BINDINGS && total <= MAX_BYTES && readScope(scopeFields(one.scope)) !== undefined
  );
}

function scopeFields(scope: BindingScope): Readonly<Record<string, unknown>> {
  return scope.kind === "services" ? { services: scope.names } : { labels: scope.labels };
}

export function parseRecord(text: string): Parsed<WaypointRecord> {
  if (text.length > MAX_BYTES) return problem("", `is longer than ${MAX_BYTES} characters`);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return problem("", "is not JSON");
  }
  const { form, deployment, bindings, attached } = jsonObject(raw);
  if (form !== FORM) return problem("form", "is not known");
  const listed = jsonList(bindings);
  if (listed.length > MAX_BINDINGS) return problem("bindings", `has more than ${MAX_BINDINGS} entries`);
  const read: Binding[] = [];
  for (const [i, entry] of listed.entries()) {
    const binding = readBinding(jsonObject(entry));
    if (binding === undefined) return problem(`bindings[${i}]`, "is malformed");
    read.push(binding);
  }
  const attachments = readAttachments(jsonList(attached));
  if (attachments === undefined) return problem("attached", "is malformed");
  const record = { deploymentUid: jsonText(deployment), bindings: read };
  return parsed(attachments.length === 0 ? record : { ...record, attached: attachments });
}

function readBinding(raw: Readonly<Record<string, unknown>>): Binding | undefined {
  const policy = jsonText(raw["policy"]);
  const scope = readScope(raw);
  const stage = STAGES.find((known) => known === raw["stage"]);
  const sinceMs = Date.parse(jsonText(raw["since"]));
  if (!POLICY.test(policy) || scope === undefined || stage === undefined || !Number.isFinite(sinceMs)) {
    return undefined;
  }
  const field = jsonText(raw["field"]).slice(0, MAX_FIELD);
  return { policy: policy as PolicyKey, field, scope, stage: stage satisfies Stage, sinceMs };
}

function readScope(raw: Readonly<Record<string, unknown>>): BindingScope | undefined {
  const hasServices = raw["services"] !== undefined;
  if (hasServices === (raw["labels"] !== undefined)) return undefined;
  if (hasServices) {
    const names = jsonList(raw["services"]).map(jsonText);
    return names.length > 0 && names.every((name) => NAME.test(name))
      ? { kind: "services", names }
      : undefined;
  }
  // Any text: a selector may say what no pod's label can be, and must not make the rest of the record unreadable.
  const labels = Object.entries(jsonObject(raw["labels"]));
  return labels.every(([, value]) => typeof value === "string")
    ? { kind: "workloads", labels: Object.fromEntries(labels.map(([k, v]) => [k, jsonText(v)])) }
    : undefined;
}
