/** Asks every controller pod what its clients have acknowledged. */
import { deadline } from "#core/base/abort.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { CONTROLLER_DEBUG_PORT } from "#core/model/well-known.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import { parseSyncStatus } from "../dump/sync-status.ts";
import type { ControllerStatus } from "../dump/sync-table.ts";
import { meshPods } from "./select-pod.ts";

const STATUS_TIMEOUT_MS = 10_000;

/** Throws when any controller that runs cannot be asked: half an answer would hide proxies. */
export async function controllerStatuses(context: CommandContext): Promise<readonly ControllerStatus[]> {
  const access = await context.cluster();
  const pods = await meshPods("controller", context, access);
  return Promise.all(
    pods.map(async (pod) => {
      const address = { namespace: pod.namespace, name: pod.name, port: CONTROLLER_DEBUG_PORT };
      const signal = deadline(STATUS_TIMEOUT_MS, context.signal);
      const reply = await access.transport.request(address, { method: "GET", path: "/debug/syncz" }, signal);
      if (reply.status !== 200)
        throw new AmbitError("CLI_BAD_REPLY", `/debug/syncz of ${pod.name} answered ${reply.status}`);
      const status = parseSyncStatus(reply.body);
      if (!status.ok)
        throw new AmbitError(
          "CLI_BAD_REPLY",
          `/debug/syncz of ${pod.name}: ${describeProblems(status.problems)}`,
        );
      return { pod: pod.name, clients: status.value };
    }),
  );
}
