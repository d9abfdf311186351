/** Asks node agents for connections that are older than the enrolment of their pods. */
import { deadline } from "#core/base/abort.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { AGENT_ADMIN_PORT } from "#core/model/well-known.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { ClusterAccess, PodRef } from "../../cluster/cluster-access.ts";
import { meshPods } from "../../cluster/select-pod.ts";
import type { CommandContext } from "../../context.ts";
import { parsePreEnrolment, type PreEnrolmentConnection } from "../../dump/pre-enrolment.ts";

const AGENT_TIMEOUT_MS = 10_000;

export interface OlderConnections {
  readonly connections: readonly PreEnrolmentConnection[];
  /** Sentences about agents that could not be asked. */
  readonly problems: readonly string[];
}

/** A missing answer is a sentence, never an empty list passed off as the truth. */
export async function olderConnections(
  from: { readonly access: ClusterAccess; readonly nodes: ReadonlySet<string> },
  context: CommandContext,
): Promise<OlderConnections> {
  let agents: readonly PodRef[];
  try {
    agents = await meshPods("agent", context, from.access);
  } catch (error) {
    if (!(error instanceof AmbitError)) throw error;
    return { connections: [], problems: [error.message] };
  }
  const wanted = agents.filter((agent) => from.nodes.has(agent.node));
  const asked = await Promise.all(wanted.map((agent) => askAgent(agent, from.access, context)));
  const silent = [...from.nodes].filter((node) => !agents.some((agent) => agent.node === node));
  return {
    connections: asked.flatMap((answer) => answer.connections),
    problems: [
      ...asked.flatMap((answer) => answer.problems),
      ...silent.map((node) => `no agent runs on node ${node}`),
    ],
  };
}

async function askAgent(
  agent: PodRef,
  access: ClusterAccess,
  context: CommandContext,
): Promise<OlderConnections> {
  const address = { namespace: agent.namespace, name: agent.name, port: AGENT_ADMIN_PORT };
  const failed = (problem: string): OlderConnections => ({
    connections: [],
    problems: [`${agent.name} (node ${agent.node}): ${problem}`],
  });
  try {
    const signal = deadline(AGENT_TIMEOUT_MS, context.signal);
    const reply = await access.transport.request(address, { method: "GET", path: "/connections" }, signal);
    if (reply.status !== 200) return failed(`/connections answered ${reply.status}`);
    const list = parsePreEnrolment(reply.body);
    return list.ok ? { connections: list.value, problems: [] } : failed(describeProblems(list.problems));
  } catch (error) {
    if (!(error instanceof AmbitError)) throw error;
    return failed(error.message);
  }
}
