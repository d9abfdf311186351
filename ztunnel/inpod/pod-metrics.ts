/** Metrics of the pods that this ztunnel serves; read at each scrape. */
import { scrapedMetrics } from "#core/runtime/process-metrics.ts";
import type { Registry } from "prom-client";
import type { PodManagerCounts } from "./pod-manager.ts";

export function registerPodMetrics(
  registry: Registry,
  pods: () => PodManagerCounts,
  waiting: () => number,
): void {
  const { gauge, counter } = scrapedMetrics(registry);
  gauge("workload_manager_active_proxy_count", "Pods served now", () => pods().active);
  gauge("workload_manager_pending_proxy_count", "Pods announced but not served yet", () => pods().pending);
  counter("workload_manager_proxies_started_total", "Pods served since start", () => pods().started);
  counter("workload_manager_proxies_stopped_total", "Pods that left since start", () => pods().stopped);
  gauge("ambit_waypoint_waiting_connections", "Connections that wait for a waypoint now", waiting);
}
