/** Metrics of this process and of the pods it serves; read at each scrape. */
import { readdirSync } from "node:fs";
import { Counter, Gauge, type Registry } from "prom-client";
import type { PodManagerCounts } from "../inpod/pod-manager.ts";

export function registerProcessMetrics(
  registry: Registry,
  version: string,
  pods: () => PodManagerCounts,
): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    const metric: Gauge = new Gauge({ name, help, registers: [registry], collect: () => metric.set(read()) });
  };
  const counter = (name: string, help: string, read: () => number): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers: [registry],
      collect: () => {
        metric.reset();
        metric.inc(read());
      },
    });
  };
  gauge("workload_manager_active_proxy_count", "Pods served now", () => pods().active);
  gauge("workload_manager_pending_proxy_count", "Pods announced but not served yet", () => pods().pending);
  counter("workload_manager_proxies_started_total", "Pods served since start", () => pods().started);
  counter("workload_manager_proxies_stopped_total", "Pods that left since start", () => pods().stopped);
  gauge("process_open_fds", "Open file descriptors", () => readdirSync("/proc/self/fd").length);
  gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
  counter("process_cpu_seconds_total", "User and system time", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  const build = new Gauge({
    name: "istio_build",
    help: "Version of this component",
    labelNames: ["component", "tag"],
    registers: [registry],
  });
  build.set({ component: "ztunnel", tag: version }, 1);
}
