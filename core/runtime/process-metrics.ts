/** Metrics of this process, read at each scrape; and counters and gauges that are functions. */
import { readdirSync } from "node:fs";
import { Counter, Gauge, type Registry } from "prom-client";

export interface ScrapedMetrics {
  gauge(name: string, help: string, read: () => number): void;
  counter(name: string, help: string, read: () => number): void;
}

export function scrapedMetrics(registry: Registry): ScrapedMetrics {
  return {
    gauge: (name, help, read) => {
      const metric: Gauge = new Gauge({
        name,
        help,
        registers: [registry],
        collect: () => metric.set(read()),
      });
    },
    counter: (name, help, read) => {
      const metric: Counter = new Counter({
        name,
        help,
        registers: [registry],
        collect: () => {
          metric.reset();
          metric.inc(read());
        },
      });
    },
  };
}

export function registerProcessMetrics(registry: Registry, component: string, version: string): void {
  const { gauge, counter } = scrapedMetrics(registry);
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
  build.set({ component, tag: version }, 1);
}
