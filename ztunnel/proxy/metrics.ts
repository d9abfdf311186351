/**
 * Istio's TCP metrics. Counting touches plain numbers only; prom-client sees them when somebody scrapes.
 * Byte direction as in Istio: "sent" is downstream to upstream at both reporters.
 */
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { Counter, Gauge, type Registry } from "prom-client";
import { RecentOutsiders } from "./recent-outsiders.ts";
import type { ResponseFlag } from "./response-flag.ts";

/** What the labels of one connection are made of. */
export interface MetricSubject {
  readonly reporter: "source" | "destination";
  readonly source: Workload | undefined;
  readonly sourceIdentity: SpiffeId | undefined;
  readonly destination: Workload | undefined;
  readonly destinationIdentity: SpiffeId | undefined;
  readonly service: Service | undefined;
  readonly mutualTls: boolean;
}

const LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_service",
  "destination_service_namespace",
  "destination_service_name",
  "destination_workload",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_cluster",
  "request_protocol",
  "response_flags",
  "connection_security_policy",
] as const;

const MAX_GROUPS = 10_000;

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  opened: number;
  closed: number;
  failed: number;
  sent: number;
  received: number;
}

/** The series of one set of labels, by response flag. Each connection holds its own, so that its end needs no key. */
export interface SeriesGroup {
  readonly subject: MetricSubject;
  readonly byFlag: Map<ResponseFlag, Series>;
}

type Count = "opened" | "closed" | "failed" | "sent" | "received";

const COUNTERS: readonly { readonly name: string; readonly count: Count; readonly help: string }[] = [
  { name: "istio_tcp_connections_opened_total", count: "opened", help: "Connections opened" },
  { name: "istio_tcp_connections_closed_total", count: "closed", help: "Connections closed" },
  { name: "istio_tcp_connections_failed_total", count: "failed", help: "Connections that ended with a flag" },
  { name: "istio_tcp_sent_bytes_total", count: "sent", help: "Bytes from downstream to upstream" },
  { name: "istio_tcp_received_bytes_total", count: "received", help: "Bytes from upstream to downstream" },
];

export interface ConnectionCounts {
  readonly sent: number;
  readonly received: number;
}

export class ProxyMetrics {
  readonly outsiders: RecentOutsiders = new RecentOutsiders();
  readonly #groups = new Map<string, SeriesGroup>();
  readonly #open = { source: 0, destination: 0 };
  #handshakesRefused = 0;
  #connectionsRefused = 0;
  #goneBeforeAccept = 0;
  #tunnelsRefused = 0;
  #tunnelViolations = 0;

  /** The group is to be given back to `closed`. */
  opened(subject: MetricSubject): SeriesGroup {
    this.#open[subject.reporter]++;
    const group = this.#group(subject);
    seriesOf(group, "-").opened++;
    return group;
  }

  closed(group: SeriesGroup, flag: ResponseFlag, counts: ConnectionCounts): void {
    this.#open[group.subject.reporter]--;
    const series = seriesOf(group, flag);
    series.closed++;
    if (flag !== "-") series.failed++;
    series.sent += counts.sent;
    series.received += counts.received;
  }

  handshakeRefused(): void {
    this.#handshakesRefused++;
  }

  connectionRefused(): void {
    this.#connectionsRefused++;
  }

  goneBeforeAccept(): void {
    this.#goneBeforeAccept++;
  }

  /** The TLS handshake or the peer's certificate was no good. */
  tunnelRefused(): void {
    this.#tunnelsRefused++;
  }

  /** A peer with a good certificate sent what HTTP/2 or HBONE forbids. */
  tunnelViolation(): void {
    this.#tunnelViolations++;
  }

  /** Adds the metrics to a registry; values are read at each scrape. */
  register(registry: Registry): void {
    this.outsiders.register(registry);
    const all = this.#groups;
    for (const { name, count, help } of COUNTERS) {
      const counter: Counter = new Counter({
        name,
        help,
        labelNames: LABELS,
        registers: [registry],
        collect: () => {
          counter.reset();
          for (const group of all.values()) countAll(counter, group, count);
        },
      });
    }
    const open: Gauge = new Gauge({
      name: "istio_tcp_sockets_open",
      help: "Connections open now",
      labelNames: ["reporter"],
      registers: [registry],
      collect: () => {
        open.set({ reporter: "source" }, this.#open.source);
        open.set({ reporter: "destination" }, this.#open.destination);
      },
    });
    counter(
      registry,
      { name: "ambit_handshakes_refused_total", help: "TLS handshakes refused: too many were in progress" },
      () => this.#handshakesRefused,
    );
    counter(
      registry,
      { name: "ambit_connections_refused_total", help: "Connections refused: too many were open" },
      () => this.#connectionsRefused,
    );
    counter(
      registry,
      {
        name: "ambit_connections_gone_total",
        help: "Connections that their client reset before they were accepted",
      },
      () => this.#goneBeforeAccept,
    );
    counter(
      registry,
      {
        name: "ambit_tunnels_refused_total",
        help: "Tunnels refused: no TLS, or a certificate that is not accepted",
      },
      () => this.#tunnelsRefused,
    );
    counter(
      registry,
      {
        name: "ambit_tunnel_violations_total",
        help: "Malformed requests and broken protocol rules in tunnels of accepted peers",
      },
      () => this.#tunnelViolations,
    );
  }

  #group(subject: MetricSubject): SeriesGroup {
    const key = groupKey(subject);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group: SeriesGroup = { subject, byFlag: new Map() };
    this.#groups.set(key, group);
    if (this.#groups.size > MAX_GROUPS) this.#forgetOldest();
    return group;
  }

  #forgetOldest(): void {
    const oldest = this.#groups.keys().next();
    if (!oldest.done) this.#groups.delete(oldest.value);
  }
}

function seriesOf(group: SeriesGroup, flag: ResponseFlag): Series {
  const known = group.byFlag.get(flag);
  if (known !== undefined) return known;
  const labels = labelsOf(group.subject, flag);
  const series: Series = { labels, opened: 0, closed: 0, failed: 0, sent: 0, received: 0 };
  group.byFlag.set(flag, series);
  return series;
}

function countAll(counter: Counter, group: SeriesGroup, count: Count): void {
  for (const series of group.byFlag.values()) {
    if (series[count] > 0) counter.inc(series.labels, series[count]);
  }
}

function counter(
  registry: Registry,
  { name, help }: { readonly name: string; readonly help: string },
  read: () => number,
): void {
  const metric: Counter = new Counter({
    name,
    help,
    registers: [registry],
    collect: () => {
      metric.reset();
      metric.inc(read());
    },
  });
}

/** HOT PATH: once per connection. Equal keys give equal labels; the labels themselves are made once per series. */
function groupKey(subject: MetricSubject): string {
  const { reporter, service, mutualTls } = subject;
  const from = `${workloadKey(subject.source)}${subject.sourceIdentity ?? ""}`;
  const to = `${workloadKey(subject.destination)}${subject.destinationIdentity ?? ""}`;
  const serviceText = service === undefined ? "" : `${service.namespace}/${service.hostname}/${service.name}`;
  return `${reporter}|${mutualTls}|${from}|${to}|${serviceText}`;
}

const workloadKeys = new WeakMap<Workload, string>();

function workloadKey(workload: Workload | undefined): string {
  if (workload === undefined) return "";
  let key = workloadKeys.get(workload);
  if (key === undefined) {
    key = `${Object.values(sideLabels("source", workload, undefined)).join("/")} `;
    workloadKeys.set(workload, key);
  }
  return key;
}

function labelsOf(subject: MetricSubject, flag: ResponseFlag): Readonly<Record<string, string>> {
  const { service } = subject;
  return {
    reporter: subject.reporter,
    ...sideLabels("source", subject.source, subject.sourceIdentity),
    destination_service: orUnknown(service?.hostname),
    destination_service_namespace: orUnknown(service?.namespace),
    destination_service_name: orUnknown(service?.name),
    ...sideLabels("destination", subject.destination, subject.destinationIdentity),
    request_protocol: "tcp",
    response_flags: flag,
    connection_security_policy: subject.mutualTls ? "mutual_tls" : "unknown",
  };
}

function sideLabels(
  side: "source" | "destination",
  workload: Workload | undefined,
  identity: SpiffeId | undefined,
): Record<string, string> {
  return {
    [`${side}_workload`]: orUnknown(workload?.workloadName),
    [`${side}_canonical_service`]: orUnknown(workload?.canonicalName),
    [`${side}_canonical_revision`]: orUnknown(workload?.canonicalRevision),
    [`${side}_workload_namespace`]: orUnknown(workload?.namespace),
    [`${side}_principal`]: orUnknown(identity),
    [`${side}_app`]: orUnknown(workload?.canonicalName),
    [`${side}_version`]: orUnknown(workload?.canonicalRevision),
    [`${side}_cluster`]: orUnknown(workload?.clusterId),
  };
}

function orUnknown(value: string | undefined): string {
  return value === undefined || value === "" ? "unknown" : value;
}
