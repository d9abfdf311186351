/** Asks the agent of a pod's node why the pod is not in the mesh although labels ask for it. */
import { AmbitError } from "#core/runtime/errors.ts";
import type { ClusterAccess } from "../../cluster/cluster-access.ts";
import { meshPods } from "../../cluster/select-pod.ts";
import type { CommandContext } from "../../context.ts";
import { parseSkippedPods, skippedText } from "../../dump/skipped-pods.ts";
import { askAgent } from "./ask-agent.ts";
import type { PodFocus } from "./dump-source.ts";

/** Sentences for people; none when the agent has nothing to say of this pod. */
export async function whyNotCaptured(
  pod: PodFocus & { readonly node: string },
  access: ClusterAccess,
  context: CommandContext,
): Promise<readonly string[]> {
  const unknown = (problem: string): string => `Why it is not in the mesh is unknown: ${problem}`;
  try {
    const agent = (await meshPods("agent", context, access)).find(({ node }) => node === pod.node);
    if (agent === undefined) return [unknown(`no agent runs on node ${pod.node}`)];
    const answer = await askAgent(agent, { path: "/skipped", parse: parseSkippedPods }, access, context);
    return [
      ...answer.rows
        .filter(({ namespace, name }) => namespace === pod.namespace && name === pod.name)
        .map(skippedText),
      ...answer.problems.map(unknown),
    ];
  } catch (error) {
    if (!(error instanceof AmbitError)) throw error;
    return [unknown(error.message)];
  }
}
