/** Every metric of the proxy under its name. What is not about a request or a connection is a plain counter. */
import type { Metric, Registry } from "prom-client";
import { scrapedMetrics } from "#core/runtime/process-metrics.ts";
import type { ScrapedValue } from "./histogram.ts";
import { ConnectionMetrics } from "./connection-metrics.ts";
import type { Reason } from "../http/reasons.ts";
import { RequestMetrics } from "./request-metrics.ts";

export class WaypointMetrics {
  readonly requests = new RequestMetrics();
  readonly connections = new ConnectionMetrics();
  /** Heads and first bytes that were refused before they became a request. */
  refusedHeads = 0;
  tunnelsRefused = 0;
  tunnelViolations = 0;
  tunnelsOverLimit = 0;
  handshakesRefused = 0;
  retries = 0;
  readonly #connectsRefused = new Map<Reason, number>();
  readonly #openCalls: () => number;

  constructor(openCalls: () => number) {
    this.#openCalls = openCalls;
  }

  /** What was asked for is no destination, or there is no room. */
  connectRefused(reason: Reason): void {
    this.#connectsRefused.set(reason, (this.#connectsRefused.get(reason) ?? 0) + 1);
  }

  /** Adds the metrics to a registry; values are read at each scrape. */
  register(registry: Registry): void {
    this.#registerRequests(registry);
    this.#registerConnections(registry);
    this.#registerRefusals(registry);
    const { counter, gauge } = scrapedMetrics(registry);
    gauge("ambit_requests_open", "Requests and plain connections under way", this.#openCalls);
    counter("ambit_request_retries_total", "Requests sent again", () => this.retries);
    counter(
      "ambit_refused_heads_total",
      "Requests refused for their syntax or framing",
      () => this.refusedHeads,
    );
    counter(
      "ambit_tunnels_refused_total",
      "Tunnels refused: no TLS, or a certificate that is not accepted",
      () => this.tunnelsRefused,
    );
    counter(
      "ambit_tunnel_violations_total",
      "Malformed requests and broken protocol rules in tunnels of accepted peers",
      () => this.tunnelViolations,
    );
    counter(
      "ambit_tunnels_over_limit_total",
      "Tunnels refused: too many were open",
      () => this.tunnelsOverLimit,
    );
    counter(
      "ambit_handshakes_refused_total",
      "TLS handshakes refused: too many were in progress",
      () => this.handshakesRefused,
    );
  }

  #registerRefusals(registry: Registry): void {
    const counted = {
      name: "ambit_connects_refused_total",
      help: "Connections of accepted peers refused before a byte of them was read, by reason",
      type: "counter",
    } as const;
    add(registry, counted, () =>
      Array.from(this.#connectsRefused, ([reason, value]) => ({
        metricName: counted.name,
        labels: { reason },
        value,
      })),
    );
  }

  #registerRequests(registry: Registry): void {
    const { requests } = this;
    const counted = { name: "istio_requests_total", help: "Requests", type: "counter" } as const;
    add(registry, counted, () =>
      requests.scrape(({ labels, count }) => [{ metricName: counted.name, labels, value: count }]),
    );
    const histograms = [
      [
        "duration",
        "istio_request_duration_milliseconds",
        "Time from the head of a request to the end of its answer",
      ],
      ["requestBytes", "istio_request_bytes", "Size of request bodies"],
      ["responseBytes", "istio_response_bytes", "Size of answer bodies"],
    ] as const;
    for (const [key, histogram, help] of histograms) {
      add(registry, { name: histogram, help, type: "histogram" }, () =>
        requests.scrape((series) => series[key].values(histogram, series.labels)),
      );
    }
  }

  #registerConnections(registry: Registry): void {
    const counters = [
      ["opened", "istio_tcp_connections_opened_total", "Connections opened"],
      ["closed", "istio_tcp_connections_closed_total", "Connections closed"],
      ["sent", "istio_tcp_sent_bytes_total", "Bytes from downstream to upstream"],
      ["received", "istio_tcp_received_bytes_total", "Bytes from upstream to downstream"],
    ] as const;
    for (const [key, name, help] of counters) {
      add(registry, { name, help, type: "counter" }, () =>
        this.connections.scrape(name, (series) => series[key]),
      );
    }
  }
}

interface Description {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "histogram";
}

/** A metric that has no values of its own: the registry asks for them. */
function add(registry: Registry, description: Description, values: () => readonly ScrapedValue[]): void {
  const metric = {
    ...description,
    get: () => Promise.resolve({ ...description, values: values(), aggregator: "sum" }),
  };
  registry.registerMetric(metric as unknown as Metric);
}
