/**
 * Pure. What reached an application, from the application's own log, beside what its waypoint says that it let in: each request carries
 * the waypoint's `x-request-id`, and comes from the waypoint's address.
 */
export interface Arrival {
  readonly method: string;
  readonly path: string;
  /** TCP peer as the application sees it; IPv4 without the mapped form. */
  readonly client: string;
  /** `x-request-id`; "" without one. */
  readonly id: string;
}

type Line = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Lines of the sample catalog's log; what is none of its requests is left out. */
export function arrivalsOf(lines: readonly Line[]): readonly Arrival[] {
  return lines
    .filter((line) => typeof line["method"] === "string" && typeof line["path"] === "string")
    .map((line) => ({
      method: text(line["method"]),
      path: text(line["path"]),
      client: text(line["client"]).replace("::ffff:", ""),
      id: text(line["id"]),
    }));
}

/** `x-request-id` of the requests that a waypoint's access log shows as passed on. */
export function passedIds(lines: readonly Line[]): ReadonlySet<string> {
  const passed = lines.filter((line) => line["response_code_details"] === "via_upstream");
  return new Set(passed.map((line) => text(line["request_id"])).filter((id) => id !== ""));
}

/** Those that no waypoint has passed on. */
export function unevaluated(arrivals: readonly Arrival[], passed: ReadonlySet<string>): readonly Arrival[] {
  return arrivals.filter((arrival) => !passed.has(arrival.id));
}

/** Those that come from elsewhere than the waypoint. */
export function aroundWaypoint(
  arrivals: readonly Arrival[],
  waypointIps: readonly string[],
): readonly Arrival[] {
  return arrivals.filter((arrival) => !waypointIps.includes(arrival.client));
}
