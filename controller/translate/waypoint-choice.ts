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
  /** `carrier`: whose label it is; pods of a namespace count as one. */
  | { readonly kind: "explicit"; readonly namespace: string; readonly name: string; readonly carrier: string }
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
  const by = `service ${own}/${name}`;
  return choice(labels, own, { by, carrier: by }) ?? namespaceChoice(namespace, own);
}

export function podChoice(pod: PodObject, namespace: NamespaceObject | undefined): WaypointChoice {
  const { namespace: own, name, labels } = pod.metadata;
  return (
    choice(labels, own, { by: `pod ${own}/${name}`, carrier: `pods ${own}` }) ??
    namespaceChoice(namespace, own)
  );
}

export interface StandingOptions {
  readonly enrolment: EnrolmentOptions;
  /** Explicit choices for which this is false are passed over. */
  readonly counts?: (choice: WaypointChoice) => boolean;
}

function always(): boolean {
  return true;
}

/**
 * A pod cannot be bound to the automatic waypoint when people chose otherwise for it, or for any service that contains it: the
 * callers of that service do not pass the automatic waypoint, and would be refused.
 */
export function podStanding(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  services: readonly ServiceObject[],
  { enrolment: options, counts = always }: StandingOptions,
): PodStanding {
  const enrolment = enrolmentOf(pod, namespace, options);
  if (enrolment.kind === "skip")
    return { kind: enrolment.reason === "host-network" ? "host-network" : "not-enrolled" };
  const choices = [
    podChoice(pod, namespace),
    ...services.map((service) => serviceChoice(service, namespace)),
  ];
  const explicit = choices.find((c) => c.kind === "explicit" && counts(c));
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

export function namespaceChoice(namespace: NamespaceObject | undefined, name: string): WaypointChoice {
  const by = `namespace ${name}`;
  return choice(namespace?.metadata.labels ?? {}, name, { by, carrier: by }) ?? { kind: "automatic" };
}

function choice(
  labels: Labels,
  namespace: string,
  { by, carrier }: { readonly by: string; readonly carrier: string },
): WaypointChoice | undefined {
  const name = own(labels, LABEL_USE_WAYPOINT);
  if (name === undefined || name === "") return undefined;
  if (name === "none") return { kind: "opted-out", by };
  const of = own(labels, LABEL_USE_WAYPOINT_NAMESPACE) || namespace;
  return { kind: "explicit", namespace: of, name, carrier };
}

function own(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
