/**
 * Pure. A Gateway's attachments one step on, by the machine of bindings. One that succeeds nothing begins in force: callers wait for a
 * waypoint that they were given first, as in Istio, and are not served without it.
 */
import { type Attachment, MAX_ATTACHMENTS } from "./attachment.ts";
import { type BindingFacts, type BindingTimes, type Step, stepBinding } from "../binding/binding-machine.ts";
import type { AttachmentNeeds } from "./takeovers.ts";

export interface AttachmentStep {
  readonly attached: readonly Attachment[];
  /** Whether it differs from before, and must be written. */
  readonly changed: boolean;
  /** What each that stays waits for, by carrier. */
  readonly waits: ReadonlyMap<string, Extract<Step, { readonly kind: "stay" }>>;
}

export function nextAttachments(
  attached: readonly Attachment[],
  { wanted, held, succeeding }: AttachmentNeeds,
  {
    facts,
    nowMs,
    times,
  }: { readonly facts: BindingFacts; readonly nowMs: number; readonly times: BindingTimes },
): AttachmentStep {
  const waits = new Map<string, Extract<Step, { readonly kind: "stay" }>>();
  const kept = attached.flatMap((one): readonly Attachment[] => {
    const asked = wanted.has(one.carrier) || held.has(one.carrier) ? "gradually" : "nothing";
    const step = stepBinding(one, asked, facts, { nowMs, times });
    if (step.kind === "gone") return [];
    if (step.kind === "go") return [{ ...one, stage: step.stage, sinceMs: nowMs }];
    waits.set(one.carrier, step);
    return [one];
  });
  const known = new Set(attached.map(({ carrier }) => carrier));
  const begun = [...wanted]
    .filter((carrier) => !known.has(carrier))
    .toSorted()
    .slice(0, MAX_ATTACHMENTS - kept.length)
    .map((carrier): Attachment => ({
      carrier,
      stage: succeeding.has(carrier) ? "starting" : "binding",
      sinceMs: nowMs,
    }));
  const next = [...kept, ...begun];
  const changed = next.length !== attached.length || next.some((one, i) => one !== attached[i]);
  return { attached: next, changed, waits };
}
