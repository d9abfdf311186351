/**
 * Pure. Which waypoint people have chosen for an object, by Istio's labels: its own, else its namespace's. Without a choice
 * the namespace's automatic waypoint serves it when a policy needs one.
 */
import type { NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import { decideEnrolment, type EnrolmentOptions } from "#core/authz/enrolment.ts";
import { LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";

type Labels = Readonly<Record<string, string>>;

export type WaypointChoice =
  | { readonly kind: "automatic" }
  | { readonly kind: "explicit"; readonly namespace: string; readonly name: string }
  /** `istio.io/use-waypoint: none`. `by`: whose label it is. */
  | { readonly kind: "opted-out"; readonly by: string };

/** Where a pod stands as far as the automatic waypoint is concerned. */
export type PodStanding =
  | WaypointChoice
  | { readonly kind: "host-network" }
  | { readonly kind: "not-enrolled" };

const LABEL_USE_WAYPOINT_NAMESPACE = "istio.io/use-waypoint-namespace";

export function serviceChoice(
  service: ServiceObject,
  namespace: NamespaceObject | undefined,
): WaypointChoice {
  const { namespace: own, name, labels } = service.metadata;
  return choice(labels, own, `service ${own}/${name}`) ?? namespaceChoice(namespace, own);
}

export function podChoice(pod: PodObject, namespace: NamespaceObject | undefined): WaypointChoice {
  const { namespace: own, name, labels } = pod.metadata;
  return choice(labels, own, `pod ${own}/${name}`) ?? namespaceChoice(namespace, own);
}

/**
 * A pod cannot be bound to the automatic waypoint when people chose otherwise for it, or for any service that contains it: the
 * callers of that service do not pass the automatic waypoint, and would be refused.
 */
export function podStanding(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  services: readonly ServiceObject[],
  options: EnrolmentOptions,
): PodStanding {
  const enrolment = enrolmentOf(pod, namespace, options);
  if (enrolment.kind === "skip")
    return { kind: enrolment.reason === "host-network" ? "host-network" : "not-enrolled" };
  const choices = [
    podChoice(pod, namespace),
    ...services.map((service) => serviceChoice(service, namespace)),
  ];
  const explicit = choices.find((c) => c.kind === "explicit");
  return explicit ?? choices.find((c) => c.kind === "opted-out") ?? { kind: "automatic" };
}

function enrolmentOf(
  { metadata, hostNetwork, phase, serviceAccount }: PodObject,
  namespace: NamespaceObject | undefined,
  options: EnrolmentOptions,
): ReturnType<typeof decideEnrolment> {
  const { namespace: own, labels, annotations } = metadata;
  return decideEnrolment(
    { namespace: own, labels, annotations, hostNetwork, phase, serviceAccount },
    namespace === undefined ? undefined : { name: own, labels: namespace.metadata.labels },
    options,
  );
}

function namespaceChoice(namespace: NamespaceObject | undefined, name: string): WaypointChoice {
  return choice(namespace?.metadata.labels ?? {}, name, `namespace ${name}`) ?? { kind: "automatic" };
}

function choice(labels: Labels, namespace: string, by: string): WaypointChoice | undefined {
  const name = own(labels, LABEL_USE_WAYPOINT);
  if (name === undefined || name === "") return undefined;
  if (name === "none") return { kind: "opted-out", by };
  return { kind: "explicit", namespace: own(labels, LABEL_USE_WAYPOINT_NAMESPACE) || namespace, name };
}

function own(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
