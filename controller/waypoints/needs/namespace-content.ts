/** Pure. Namespaces with what is in them, as far as automatic waypoints are concerned, and whether one is needed there. */
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import { LABEL_DATAPLANE_MODE, LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import { serviceSelects } from "../../translate/selectors.ts";
import { podStanding, type PodStanding, type WaypointChoice } from "../../translate/waypoint-choice.ts";

export interface ContentFacts {
  readonly enrolment: EnrolmentOptions;
  readonly namespaces: readonly NamespaceObject[];
  readonly pods: readonly PodObject[];
  readonly services: readonly ServiceObject[];
  /** Pods that are waypoints themselves: no policy is about them. */
  readonly isWaypointPod: (pod: PodObject) => boolean;
  /** Explicit choices for which this is false are passed over; all count if it is missing. */
  readonly counts?: (choice: WaypointChoice) => boolean;
}

/** One namespace with what is in it. */
export interface NamespaceContent {
  readonly object: NamespaceObject;
  readonly pods: readonly { readonly pod: PodObject; readonly standing: PodStanding }[];
  readonly services: ReadonlyMap<string, ServiceObject>;
}

/** By name. */
export function namespaceContents(facts: ContentFacts): ReadonlyMap<string, NamespaceContent> {
  const applications = facts.pods.filter((pod) => !facts.isWaypointPod(pod));
  const pods = Map.groupBy(applications, (pod) => pod.metadata.namespace);
  const services = Map.groupBy(facts.services, (service) => service.metadata.namespace);
  return new Map(
    facts.namespaces.map((object) => {
      const { name } = object.metadata;
      const inIt = services.get(name) ?? [];
      const standing = (pod: PodObject): PodStanding =>
        podStanding(
          pod,
          object,
          inIt.filter((s) => serviceSelects(s.selector, pod.metadata.labels)),
          facts,
        );
      const content: NamespaceContent = {
        object,
        pods: (pods.get(name) ?? []).map((pod) => ({ pod, standing: standing(pod) })),
        services: new Map(inIt.map((service) => [service.metadata.name, service])),
      };
      return [name, content];
    }),
  );
}

/** By a policy that covers these pods. Before its first pod too: a pod must find the waypoint there, not be open until one has started. */
export function isNeeded(
  content: NamespaceContent,
  covered: NamespaceContent["pods"],
  facts: ContentFacts,
): boolean {
  const kinds = new Set(covered.map(({ standing }) => standing.kind));
  if (kinds.has("automatic")) return true;
  return !kinds.has("explicit") && !kinds.has("opted-out") && takesPart(content, facts);
}

/** Whether a pod that appears here would be enrolled, and bound to the automatic waypoint. */
function takesPart({ object }: NamespaceContent, { enrolment }: ContentFacts): boolean {
  const { name, labels } = object.metadata;
  return (
    labels[LABEL_DATAPLANE_MODE] === "ambient" &&
    name !== enrolment.systemNamespace &&
    !enrolment.excludedNamespaces.includes(name) &&
    !object.terminating &&
    (labels[LABEL_USE_WAYPOINT] ?? "") === ""
  );
}
