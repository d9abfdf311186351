/** Pure. A Gateway's whole record one step on: bindings of an automatic waypoint, attachments of one that people made. */
import { attachedOf } from "../takeover/attachment.ts";
import type { BindingFacts, BindingTimes } from "../binding/binding-machine.ts";
import { bindingKey, type Stage, type WantedBinding } from "../binding/binding.ts";
import { type AttachmentStep, nextAttachments } from "../takeover/next-attachments.ts";
import { nextBindings, type StepResult } from "../binding/next-record.ts";
import { type AttachmentNeeds, NO_ATTACHMENTS } from "../takeover/takeovers.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";
import type { WaypointRecord } from "../gateway/waypoint-record.ts";

export interface AskedOfGateway {
  readonly wanted: readonly WantedBinding[];
  /** Wanted no more, and kept until what follows is in force. */
  readonly held: readonly WantedBinding[];
  readonly attachments: AttachmentNeeds | undefined;
}

export type GatewayStep = StepResult & Pick<AttachmentStep, "attached">;

/** By binding and by attachment: how far it has got. */
export function stagesOf({ bindings, attached = [] }: WaypointRecord): ReadonlyMap<string, Stage> {
  return new Map([
    ...bindings.map((binding) => [bindingKey(binding), binding.stage] as const),
    ...attached.map(({ carrier, stage }) => [carrier, stage] as const),
  ]);
}

export function nextStep(
  gateway: WaypointGateway,
  { wanted, held, attachments = NO_ATTACHMENTS }: AskedOfGateway,
  at: { readonly facts: BindingFacts; readonly nowMs: number; readonly times: BindingTimes },
): GatewayStep {
  const { automatic, record } = gateway;
  const asked = automatic ? { wanted, held } : { wanted: [] };
  const bound = nextBindings({ bindings: record.bindings, ...asked, ...at });
  const { attached, changed, waits } = nextAttachments(attachedOf(gateway), attachments, at);
  return {
    bindings: bound.bindings,
    attached,
    changed: bound.changed || changed,
    waits: new Map([...bound.waits, ...waits]),
  };
}
