/** `ambit waypoint`: istioctl's command of the same name; automatic waypoints say why they exist. */
import { defineGroup } from "../command.ts";
import { applyCommand } from "./waypoint/apply.ts";
import { deleteCommand } from "./waypoint/delete.ts";
import { generateCommand } from "./waypoint/generate.ts";
import { listCommand } from "./waypoint/list.ts";
import { statusCommand } from "./waypoint/status.ts";

export const waypointGroup = defineGroup({
  name: "waypoint",
  summary: "L7 proxies of namespaces: which there are and why, and explicit ones",
  description:
    "The controller makes a waypoint by itself where a policy speaks of requests, and removes it afterwards. An explicit one is a\n" +
    "Gateway of class istio-waypoint that stays until it is deleted.",
  examples: [
    { command: "ambit waypoint list -A", meaning: "Which waypoints are there, and why?" },
    { command: "ambit waypoint status -n shop", meaning: "Is the shop's one ready?" },
    {
      command: "ambit waypoint apply -n shop --enroll-namespace",
      meaning: "One that stays, for the whole namespace",
    },
  ],
  commands: [listCommand, statusCommand, applyCommand, deleteCommand, generateCommand],
});
