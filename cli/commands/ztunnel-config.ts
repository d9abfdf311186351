/** `ambit ztunnel-config`: istioctl's command of the same name, for the same dumps. */
import { defineGroup } from "../command.ts";
import { allCommand } from "./ztunnel-config/all.ts";
import { certificateCommand } from "./ztunnel-config/certificate.ts";
import { connectionsCommand } from "./ztunnel-config/connections.ts";
import { logCommand } from "./ztunnel-config/log.ts";
import { policyCommand } from "./ztunnel-config/policy.ts";
import { serviceCommand } from "./ztunnel-config/service.ts";
import { workloadCommand } from "./ztunnel-config/workload.ts";

export const ztunnelConfigGroup = defineGroup({
  name: "ztunnel-config",
  aliases: ["zc"],
  summary: "What the ztunnels know: workloads, services, policies, certificates, connections",
  description:
    "Reads /config_dump of ztunnels through the Kubernetes API's port-forward, or a dump from a file.\n" +
    "Works with Istio's ztunnels too.",
  examples: [
    { command: "ambit ztunnel-config workload", meaning: "Which pods are in the mesh?" },
    { command: "ambit zc connections", meaning: "Who talks to whom right now?" },
    { command: "ambit zc all -o json > dump.json", meaning: "Keep everything for a bug report" },
  ],
  commands: [
    workloadCommand,
    serviceCommand,
    policyCommand,
    certificateCommand,
    connectionsCommand,
    allCommand,
    logCommand,
  ],
});
