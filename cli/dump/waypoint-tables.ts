/** Pure. The tables of `ambit waypoint`: istioctl's columns, and for automatic waypoints why they exist. */
import { printable } from "../render/printable.ts";
import { renderTable } from "../render/table.ts";
import type { WaypointView } from "./waypoint-view.ts";

/** [NAMESPACE,] NAME, REVISION, TRAFFIC TYPE, PROGRAMMED; then the reasons. */
export function waypointListText(waypoints: readonly WaypointView[], withNamespace: boolean): string {
  const table = renderTable(
    inNamespace(withNamespace, "NAMESPACE", ["NAME", "REVISION", "TRAFFIC TYPE", "PROGRAMMED"]),
    waypoints.map((w) =>
      inNamespace(withNamespace, w.namespace, [w.name, w.revision, w.trafficType, w.programmed.status]),
    ),
    { padding: 5 },
  );
  return `${table}${reasonsText(waypoints)}`;
}

/** [NAMESPACE,] NAME, STATUS, TYPE, REASON, MESSAGE of the condition Programmed; then the reasons. */
export function waypointStatusText(waypoints: readonly WaypointView[], withNamespace: boolean): string {
  const table = renderTable(
    inNamespace(withNamespace, "NAMESPACE", ["NAME", "STATUS", "TYPE", "REASON", "MESSAGE"]),
    waypoints.map((w) =>
      inNamespace(withNamespace, w.namespace, [
        w.name,
        w.programmed.status,
        "Programmed",
        w.programmed.reason,
        w.programmed.message,
      ]),
    ),
    { padding: 5 },
  );
  return `${table}${reasonsText(waypoints)}`;
}

function inNamespace(shown: boolean, cell: string, cells: readonly string[]): readonly string[] {
  return shown ? [cell, ...cells] : cells;
}

function reasonsText(waypoints: readonly WaypointView[]): string {
  return waypoints
    .filter((w) => w.automatic)
    .map((w) => {
      const title = `\n${printable(`${w.namespace}/${w.name}`)} was made by the controller, `;
      if (w.reasons.length === 0)
        return `${title}no policy needs it any more: it goes after its grace period.\n`;
      const rows = w.reasons.map((r) => [`  ${r.policy}`, r.field, r.scope, r.stage]);
      return `${title}since these policies speak of requests:\n${renderTable(["  POLICY", "FIELD", "COVERS", "STAGE"], rows, { padding: 3 })}`;
    })
    .join("");
}
