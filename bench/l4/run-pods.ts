/** The second topology: captured pods on two nodes of a local cluster; all direct rounds, then the label, then Ambit's. */
import { type BenchOptions, chosen } from "../options.ts";
import { podsUp } from "../peers/pods-ground.ts";
import type { ReportInput } from "../render/report.ts";
import { machineFacts } from "../system/machine-facts.ts";
import { L4_SUBJECT, MEASURES } from "./measures.ts";
import { runL4 } from "./run-l4.ts";
import { ambitVersion } from "./run-sockets.ts";

export async function runPods(options: BenchOptions, say: (text: string) => void): Promise<ReportInput> {
  const ground = await podsUp(options.congestionControl, say);
  // The cluster's reaper cleans up once this process has ended.
  const interrupted = (): void => process.exit(130);
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    const { rounds, seconds } = options;
    const measures = chosen(MEASURES, options.only);
    const plan = { path: ground.path, measures, rounds, seconds, say };
    const before = await runL4({ ...plan, peers: [ground.direct] });
    const began = performance.now();
    const ambit = await ground.enrol(ambitVersion());
    const enrolment = `Both running pods were captured ${Math.round(performance.now() - began)} ms after the label.`;
    const after = await runL4({ ...plan, peers: [ambit] });
    return {
      run: {
        title: "Captured pods on two nodes",
        ground: "Two pods on two nodes of a local cluster, mesh installed from its manifests",
        ...machineFacts(),
        congestionControl: ground.congestionControl,
        rounds,
        seconds,
        remarks: [enrolment],
      },
      peers: [ground.direct.name, ambit.name],
      subject: L4_SUBJECT,
      measures,
      samples: [...before.samples, ...after.samples],
      facts: { ...before.facts, ...after.facts },
      failed: [...before.failed, ...after.failed],
      emptyZtunnelBytes: undefined,
    };
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    await ground.down();
  }
}
