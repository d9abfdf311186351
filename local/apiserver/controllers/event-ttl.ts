/** Events live for an hour. */
import { digString } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient } from "./controller-client.ts";

const LIFE_MS = 3_600_000;
const SWEEP_MS = 60_000;

export function startEventTtl(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "event-ttl");
  const queue = client.queue(async (key) => {
    const oldest = deps.clock.nowMs() - LIFE_MS;
    for (const event of client.list("events")) {
      const last =
        digString(event, "lastTimestamp") ??
        digString(event, "eventTime") ??
        event.metadata.creationTimestamp ??
        "";
      if (Date.parse(last) < oldest) await client.delete("events", event);
    }
    queue.add(key, SWEEP_MS);
  });
  queue.add("sweep", SWEEP_MS);
  return client;
}
