/**
 * Pure. What must go on although labels say otherwise by now, until what follows it is in force: bindings of automatic waypoints, and
 * attachments of those that people made. And which attachments are wished for.
 */
import type { NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { isLivePod } from "../../translate/pod.ts";
import {
  namespaceChoice,
  podChoice,
  serviceChoice,
  type WaypointChoice,
} from "../../translate/waypoint-choice.ts";
import { attachedOf, type Attachment, type Carrier, namespaceOf } from "./attachment.ts";
import { bindingKey, pushesOf, type Stage, type WantedBinding } from "../binding/binding.ts";
import { mayAttach, type WaypointGateway } from "../gateway/waypoint-gateway.ts";

export interface TakeoverFacts {
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, ServiceObject>;
  readonly pods: Iterable<PodObject>;
  readonly gateways: ReadonlyMap<string, WaypointGateway>;
  /** Automatic bindings that policies ask for, by namespace. */
  readonly wanted: ReadonlyMap<string, readonly WantedBinding[]>;
}

export interface AttachmentNeeds {
  /** Labels ask for these. */
  readonly wanted: ReadonlySet<Carrier>;
  /** Labels do not any more, but what follows is not in force yet. */
  readonly held: ReadonlySet<Carrier>;
  /** Of the wanted: another waypoint is in force for something of theirs. */
  readonly succeeding: ReadonlySet<Carrier>;
}

export interface Takeovers {
  /** Automatic bindings that are kept, by namespace. */
  readonly held: ReadonlyMap<string, readonly WantedBinding[]>;
  /** By Gateway. */
  readonly attachments: ReadonlyMap<string, AttachmentNeeds>;
}

export const NO_ATTACHMENTS: AttachmentNeeds = {
  wanted: new Set(),
  held: new Set(),
  succeeding: new Set(),
};

/** By Gateway; those without any are left out. */
export function attachmentNeeds(facts: TakeoverFacts): ReadonlyMap<string, AttachmentNeeds> {
  if (facts.gateways.values().every(({ automatic }) => automatic)) return new Map();
  const wanted = wantedCarriers(facts);
  const needs = new Map<string, AttachmentNeeds>();
  for (const [key, gateway] of facts.gateways) {
    const wishes = wanted.get(key) ?? new Set<Carrier>();
    const kept = attachedOf(gateway);
    if (gateway.automatic || wishes.size + kept.length === 0) continue;
    const leaving = kept.filter(({ carrier, stage }) => !wishes.has(carrier) && pushesOf(stage).binds);
    needs.set(key, {
      wanted: wishes,
      held: new Set(leaving.filter((one) => !isSucceeded(one, facts)).map(({ carrier }) => carrier)),
      succeeding: new Set([...wishes].filter((carrier) => hasPredecessor(key, carrier, facts))),
    });
  }
  return needs;
}

/** Whether a label's wish has come true entirely: what came before has let go. */
export function isAttached(choice: WaypointChoice, gateways: TakeoverFacts["gateways"]): boolean {
  return stageOf(choice, gateways) === "enforced";
}

/** How far the waypoint that a label names has got with it. */
export function stageOf(choice: WaypointChoice, gateways: TakeoverFacts["gateways"]): Stage | undefined {
  if (choice.kind !== "explicit") return undefined;
  const gateway = gateways.get(`${choice.namespace}/${choice.name}`);
  if (gateway === undefined) return undefined;
  return attachedOf(gateway).find(({ carrier }) => carrier === choice.carrier)?.stage;
}

function wantedCarriers(facts: TakeoverFacts): ReadonlyMap<string, Set<Carrier>> {
  const wanted = new Map<string, Set<Carrier>>();
  const add = (choice: WaypointChoice): void => {
    if (choice.kind !== "explicit") return;
    const key = `${choice.namespace}/${choice.name}`;
    const gateway = facts.gateways.get(key);
    const from = namespaceOf(choice.carrier);
    if (gateway === undefined || !mayAttach(gateway, from, facts.namespaces.get(from))) return;
    const carriers = wanted.get(key) ?? new Set();
    wanted.set(key, carriers.add(choice.carrier));
  };
  for (const [name, object] of facts.namespaces) if (!object.terminating) add(namespaceChoice(object, name));
  for (const service of facts.services.values())
    add(serviceChoice(service, facts.namespaces.get(service.metadata.namespace)));
  for (const pod of facts.pods)
    if (isLivePod(pod)) add(podChoice(pod, facts.namespaces.get(pod.metadata.namespace)));
  return wanted;
}

/** Whether what its objects are to have instead is in force, or is nothing. */
function isSucceeded({ carrier }: Attachment, facts: TakeoverFacts): boolean {
  const choice = choiceNow(carrier, facts);
  if (choice === undefined || choice.kind === "opted-out") return true;
  if (choice.kind === "explicit") return hasArrived(stageOf(choice, facts.gateways));
  const namespace = namespaceOf(carrier);
  const bindings = facts.gateways.get(`${namespace}/${AUTOMATIC_WAYPOINT}`)?.record.bindings ?? [];
  const stages = new Map(bindings.map((binding) => [bindingKey(binding), binding.stage]));
  return (facts.wanted.get(namespace) ?? [])
    .filter(({ observes }) => observes !== true)
    .every((wish) => hasArrived(stages.get(bindingKey(wish))));
}

/** Older connections have had their time. */
function hasArrived(stage: Stage | undefined): boolean {
  return stage === "denying" || stage === "enforced";
}

/** Undefined: there is nothing any more. */
function choiceNow(carrier: Carrier, facts: TakeoverFacts): WaypointChoice | undefined {
  const name = namespaceOf(carrier);
  const namespace = facts.namespaces.get(name);
  if (namespace === undefined || namespace.terminating) return undefined;
  if (!carrier.startsWith("service ")) return namespaceChoice(namespace, name);
  const service = facts.services.get(carrier.slice("service ".length));
  return service && serviceChoice(service, namespace);
}

function hasPredecessor(key: string, carrier: Carrier, { gateways }: TakeoverFacts): boolean {
  const namespace = namespaceOf(carrier);
  return [...gateways.values()].some(
    (other) =>
      (other.automatic &&
        other.namespace === namespace &&
        other.record.bindings.some(({ stage }) => pushesOf(stage).binds)) ||
      attachedOf(other).some(
        (one) =>
          (other.key !== key || one.carrier !== carrier) &&
          namespaceOf(one.carrier) === namespace &&
          pushesOf(one.stage).binds,
      ),
  );
}
