/** Asks node agents for connections that are older than the enrolment of their pods. */
import { AmbitError } from "#core/runtime/errors.ts";
import type { ClusterAccess, PodRef } from "../../cluster/cluster-access.ts";
import { meshPods } from "../../cluster/select-pod.ts";
import type { CommandContext } from "../../context.ts";
import { parsePreEnrolment, type PreEnrolmentConnection } from "../../dump/pre-enrolment.ts";
import { askAgent } from "./ask-agent.ts";

const QUESTION = { path: "/connections", parse: parsePreEnrolment };

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
  const asked = await Promise.all(wanted.map((agent) => askAgent(agent, QUESTION, from.access, context)));
  const silent = [...from.nodes].filter((node) => !agents.some((agent) => agent.node === node));
  return {
    connections: asked.flatMap((answer) => answer.rows),
    problems: [
      ...asked.flatMap((answer) => answer.problems),
      ...silent.map((node) => `no agent runs on node ${node}`),
    ],
  };
}
