/** Pure. The tables of `ambit waypoint`: istioctl's columns, and for automatic waypoints why they exist. */
import { printable } from "../render/printable.ts";
import { renderTable } from "../render/table.ts";
import type { Enforced, WaypointView } from "./waypoint-view.ts";

/** [NAMESPACE,] NAME, REVISION, TRAFFIC TYPE, PROGRAMMED; then the reasons. */
export function waypointListText(waypoints: readonly WaypointView[], withNamespace: boolean): string {
  const table = renderTable(
    inNamespace(withNamespace, "NAMESPACE", ["NAME", "REVISION", "TRAFFIC TYPE", "PROGRAMMED"]),
    waypoints.map((w) =>
      inNamespace(withNamespace, w.namespace, [w.name, w.revision, w.trafficType, w.programmed.status]),
    ),
    { padding: 5 },
  );
  return `${table}${reasonsText(waypoints, () => "")}`;
}

/** [NAMESPACE,] NAME, STATUS, TYPE, REASON, MESSAGE of the condition Programmed; then the reasons, and what is said of each policy. */
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
  return `${table}${reasonsText(waypoints, standingText)}`;
}

function inNamespace(shown: boolean, cell: string, cells: readonly string[]): readonly string[] {
  return shown ? [cell, ...cells] : cells;
}

function reasonsText(waypoints: readonly WaypointView[], more: (waypoint: WaypointView) => string): string {
  return waypoints.map((w) => `${problemsText(w)}${w.automatic ? `${whyText(w)}${more(w)}` : ""}`).join("");
}

function standingText({ reasons }: WaypointView): string {
  return reasons
    .flatMap(({ policy, enforced }) =>
      enforced === undefined ? [] : [`\n${printable(`  ${policy}: ${enforcedText(enforced)}`)}\n`],
    )
    .join("");
}

function enforcedText({ status, reason, message }: Enforced): string {
  if (status === "True") return `enforced: ${message}`;
  return `not enforced: ${reason === "" ? "" : `${reason}: `}${message}`;
}

function problemsText({ namespace, name, problems }: WaypointView): string {
  return problems.map((problem) => `\n${printable(`${namespace}/${name}: ${problem}`)}\n`).join("");
}

function whyText({ namespace, name, reasons, problems }: WaypointView): string {
  const title = `\n${printable(`${namespace}/${name}`)} was made by the controller, `;
  if (reasons.length > 0) {
    const rows = reasons.map((r) => [
      `  ${r.policy}`,
      r.field,
      r.scope,
      r.stage,
      r.enforced?.status ?? "Unknown",
    ]);
    return `${title}since these policies need it:\n${renderTable(["  POLICY", "FIELD", "COVERS", "STAGE", "ENFORCED"], rows, { padding: 3 })}`;
  }
  // What cannot be read is no reason to think that nothing is there.
  return problems.length > 0
    ? `${title}and why is not known.\n`
    : `${title}no policy needs it any more: it goes after its grace period.\n`;
}
