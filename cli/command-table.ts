/** All commands, in the order in which help lists them. To add one: its file, and a line here. */
import { defineGroup } from "./command.ts";
import { localGroup } from "./commands/local.ts";
import { proxyStatusCommand } from "./commands/proxy-status.ts";
import { versionCommand } from "./commands/version.ts";
import { waypointGroup } from "./commands/waypoint.ts";
import { ztunnelConfigGroup } from "./commands/ztunnel-config.ts";

export const AMBIT = defineGroup({
  name: "ambit",
  summary: "Ambit: an ambient-style service mesh. Label a namespace, and its pods talk mutual TLS.",
  examples: [
    { command: "ambit proxy-status", meaning: "Is the mesh up?" },
    { command: "ambit ztunnel-config workload", meaning: "Which pods are in it?" },
    { command: "ambit ztunnel-config connections", meaning: "Who talks to whom?" },
    { command: "ambit waypoint list -A", meaning: "Which L7 proxies are there, and why?" },
  ],
  commands: [proxyStatusCommand, ztunnelConfigGroup, waypointGroup, localGroup, versionCommand],
});
