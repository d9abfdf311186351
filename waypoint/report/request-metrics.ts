/** HOT PATH. Istio's HTTP metrics of a waypoint. Counting touches plain numbers; a group is looked up once per caller and endpoint. */
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { ResponseFlag } from "../http/reasons.ts";
import { Histogram, type ScrapedValue } from "./histogram.ts";
import { type Labels, type Party, serviceLabels, sideLabels } from "./labels.ts";

export interface RequestSubject {
  readonly source: Party | undefined;
  readonly sourceIdentity: SpiffeId;
  readonly destination: Party | undefined;
  readonly destinationIdentity: SpiffeId | undefined;
  readonly service: Service | undefined;
}

export interface RequestCounts {
  readonly protocol: "http" | "grpc";
  readonly status: number;
  /** Empty unless the answer had one. */
  readonly grpcStatus: string;
  readonly flag: ResponseFlag;
  readonly durationMs: number;
  /** Of the bodies. */
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Each has three histograms, 60 KB of a scrape. Beyond it the series of the oldest caller and endpoint are forgotten. */
const MAX_SERIES = 1_000;

class Series {
  readonly labels: Labels;
  count = 0;
  readonly duration = new Histogram();
  readonly requestBytes = new Histogram();
  readonly responseBytes = new Histogram();

  constructor(labels: Labels) {
    this.labels = labels;
  }
}

/** The series of one caller, endpoint and service. */
export class RequestGroup {
  readonly #subject: RequestSubject;
  readonly #onNewSeries: () => void;
  readonly #series = new Map<string, Series>();
  /** Nobody reads it any more: look it up again. */
  isForgotten = false;

  constructor(subject: RequestSubject, onNewSeries: () => void) {
    this.#subject = subject;
    this.#onNewSeries = onNewSeries;
  }

  get size(): number {
    return this.#series.size;
  }

  add(counts: RequestCounts): void {
    const series = this.#seriesOf(counts);
    series.count++;
    series.duration.observe(counts.durationMs);
    series.requestBytes.observe(counts.requestBytes);
    series.responseBytes.observe(counts.responseBytes);
  }

  series(): Iterable<Series> {
    return this.#series.values();
  }

  #seriesOf({ protocol, status, grpcStatus, flag }: RequestCounts): Series {
    const key = `${protocol}${status}${flag}${grpcStatus}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new Series(labelsOf(this.#subject, { protocol, status, grpcStatus, flag }));
      this.#series.set(key, series);
      this.#onNewSeries();
    }
    return series;
  }
}

export class RequestMetrics {
  readonly #groups = new Map<string, RequestGroup>();
  #seriesCount = 0;

  /** May be kept until it is forgotten. */
  group(subject: RequestSubject): RequestGroup {
    const key = groupKey(subject);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new RequestGroup(subject, () => this.#onNewSeries());
      this.#groups.set(key, group);
    }
    return group;
  }

  /** All series, each by `read`. */
  scrape(read: (series: Series) => readonly ScrapedValue[]): readonly ScrapedValue[] {
    return [...this.#groups.values()].flatMap((group) => [...group.series()].flatMap(read));
  }

  #onNewSeries(): void {
    this.#seriesCount++;
    for (const [key, group] of this.#groups) {
      if (this.#seriesCount <= MAX_SERIES || this.#groups.size === 1) return;
      this.#groups.delete(key);
      group.isForgotten = true;
      this.#seriesCount -= group.size;
    }
  }
}

function labelsOf(
  subject: RequestSubject,
  { protocol, status, grpcStatus, flag }: Pick<RequestCounts, "protocol" | "status" | "grpcStatus" | "flag">,
): Labels {
  return {
    reporter: "waypoint",
    ...sideLabels("source", subject.source, subject.sourceIdentity),
    ...sideLabels("destination", subject.destination, subject.destinationIdentity),
    ...serviceLabels(subject.service),
    request_protocol: protocol,
    response_code: String(status),
    ...(protocol === "grpc" ? { grpc_response_status: grpcStatus } : {}),
    response_flags: flag,
    connection_security_policy: "mutual_tls",
  };
}

/** Equal keys give equal labels. */
function groupKey({
  source,
  sourceIdentity,
  destination,
  destinationIdentity,
  service,
}: RequestSubject): string {
  return [
    sourceIdentity,
    partyKey(source),
    destinationIdentity ?? "",
    partyKey(destination),
    service === undefined ? "" : `${service.namespace}/${service.hostname}/${service.name}`,
  ].join("|");
}

function partyKey(party: Party | undefined): string {
  if (party === undefined) return "";
  const { workloadName, canonicalName, canonicalRevision, namespace, clusterId } = party;
  return [workloadName, canonicalName, canonicalRevision, namespace, clusterId].join("/");
}
