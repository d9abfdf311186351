/** Asks one node agent on its admin port. What goes wrong is a sentence that names the agent, never an empty answer. */
import { deadline } from "#core/base/abort.ts";
import { describeProblems, type Parsed } from "#core/base/parse-result.ts";
import { AGENT_ADMIN_PORT } from "#core/model/well-known.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { ClusterAccess, PodRef } from "../../cluster/cluster-access.ts";
import type { CommandContext } from "../../context.ts";

const AGENT_TIMEOUT_MS = 10_000;

export interface AgentQuestion<T> {
  readonly path: string;
  readonly parse: (text: string) => Parsed<readonly T[]>;
}

export interface AgentAnswer<T> {
  readonly rows: readonly T[];
  readonly problems: readonly string[];
}

export async function askAgent<T>(
  agent: PodRef,
  { path, parse }: AgentQuestion<T>,
  access: ClusterAccess,
  context: CommandContext,
): Promise<AgentAnswer<T>> {
  const address = { namespace: agent.namespace, name: agent.name, port: AGENT_ADMIN_PORT };
  const failed = (problem: string): AgentAnswer<T> => ({
    rows: [],
    problems: [`${agent.name} (node ${agent.node}): ${problem}`],
  });
  try {
    const signal = deadline(AGENT_TIMEOUT_MS, context.signal);
    const reply = await access.transport.request(address, { method: "GET", path }, signal);
    if (reply.status !== 200) return failed(`${path} answered ${reply.status}`);
    const list = parse(reply.body);
    return list.ok ? { rows: list.value, problems: [] } : failed(describeProblems(list.problems));
  } catch (error) {
    if (!(error instanceof AmbitError)) throw error;
    return failed(error.message);
  }
}
