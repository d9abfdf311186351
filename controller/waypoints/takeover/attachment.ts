/**
 * Pure. Whom a waypoint that people made serves in force. Labels say what is wished; what is kept on its Gateway says how far that has
 * got, so that every replica, and the next controller, knows which waypoint came before.
 */
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { type Stage, STAGES } from "../binding/binding.ts";

/** Whose label names the waypoint: `namespace shop`, `service shop/catalog`, or all pods of a namespace that name it, `pods shop`. */
export type Carrier = string;

/** It goes through the stages of a binding; where that one begins to refuse callers, what came before stops doing so. */
export interface Attachment {
  readonly carrier: Carrier;
  readonly stage: Stage;
  /** When the stage began. */
  readonly sinceMs: number;
}

/** Of one Gateway. */
export const MAX_ATTACHMENTS = 500;
const CARRIER = /^(?:(?:namespace|pods) [a-z0-9-]{1,63}|service [a-z0-9-]{1,63}\/[a-z0-9.-]{1,253})$/;

export function namespaceOf(carrier: Carrier): string {
  return carrier.slice(carrier.indexOf(" ") + 1).split("/")[0] ?? "";
}

/** Whoever lost its record may have served its whole namespace: it goes on with that until something else is in force. */
export function attachedOf(gateway: {
  readonly namespace: string;
  readonly automatic: boolean;
  readonly lost: string | undefined;
  readonly record: { readonly attached?: readonly Attachment[] };
}): readonly Attachment[] {
  const { namespace, automatic, lost, record } = gateway;
  if (automatic || lost === undefined) return record.attached ?? [];
  return [{ carrier: `namespace ${namespace}`, stage: "enforced", sinceMs: 0 }];
}

export function attachmentFields({ carrier, stage, sinceMs }: Attachment): object {
  return { carrier, stage, since: new Date(sinceMs).toISOString() };
}

/** Undefined: one is malformed, or they are too many. */
export function readAttachments(list: readonly unknown[]): readonly Attachment[] | undefined {
  const read = list.flatMap((raw) => readAttachment(jsonObject(raw)) ?? []);
  return read.length === list.length && read.length <= MAX_ATTACHMENTS ? read : undefined;
}

function readAttachment(raw: Readonly<Record<string, unknown>>): Attachment | undefined {
  const carrier = jsonText(raw["carrier"]);
  const stage = STAGES.find((known) => known === raw["stage"]);
  const sinceMs = Date.parse(jsonText(raw["since"]));
  if (!CARRIER.test(carrier) || stage === undefined || !Number.isFinite(sinceMs)) return undefined;
  return { carrier, stage, sinceMs };
}
