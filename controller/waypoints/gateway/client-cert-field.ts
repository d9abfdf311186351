/** Pure. Istio's annotation on a Gateway, or for all of them on their class: whether a waypoint tells applications who called it. */
import type { CustomObject } from "#core/k8s/object-types.ts";

export const ANNOTATION_CLIENT_CERT = "ambient.istio.io/xfcc-include-client-identity";

/** The Gateway's own word counts before that of its class. */
export function wantsClientCertField(
  gateway: CustomObject | undefined,
  gatewayClass: CustomObject | undefined,
): boolean {
  const saidBy = (object: CustomObject | undefined): string | undefined =>
    object?.metadata.annotations[ANNOTATION_CLIENT_CERT];
  return (saidBy(gateway) ?? saidBy(gatewayClass)) === "true";
}
