/** Pure. Which resources a NACK blames. ztunnels write `name: reason; name: reason`. */
import type { EncodedResource } from "../encoded-resource.ts";

/** The blamed ones of a response; all of them when the text names none. */
export function blamedResources(
  message: string,
  sent: readonly EncodedResource[],
): readonly EncodedResource[] {
  const named = sent.filter((resource) =>
    message.split("; ").some((part) => part.startsWith(`${resource.name}: `)),
  );
  return named.length > 0 ? named : sent;
}
