/** Istio's TCP metrics of a waypoint: connections that are not HTTP. Plain numbers, read when somebody scrapes. */
import type { ResponseFlag } from "../http/reasons.ts";
import type { ScrapedValue } from "./histogram.ts";
import { type Labels, serviceLabels, sideLabels } from "./labels.ts";
import type { RequestSubject } from "./request-metrics.ts";

export interface ConnectionCounts {
  readonly flag: ResponseFlag;
  /** Downstream to upstream, and back. */
  readonly sent: number;
  readonly received: number;
}

export interface ConnectionSeries {
  readonly labels: Labels;
  opened: number;
  closed: number;
  sent: number;
  received: number;
}

const MAX_SERIES = 10_000;

export class ConnectionMetrics {
  readonly #series = new Map<string, ConnectionSeries>();

  opened(subject: RequestSubject): void {
    this.#of(subject, "-").opened++;
  }

  closed(subject: RequestSubject, counts: ConnectionCounts): void {
    const series = this.#of(subject, counts.flag);
    series.closed++;
    series.sent += counts.sent;
    series.received += counts.received;
  }

  scrape(name: string, read: (series: ConnectionSeries) => number): readonly ScrapedValue[] {
    return [...this.#series.values()].map((series) => ({
      metricName: name,
      labels: series.labels,
      value: read(series),
    }));
  }

  #of(subject: RequestSubject, flag: ResponseFlag): ConnectionSeries {
    const labels = labelsOf(subject, flag);
    const key = Object.values(labels).join("|");
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const series: ConnectionSeries = { labels, opened: 0, closed: 0, sent: 0, received: 0 };
    this.#series.set(key, series);
    if (this.#series.size > MAX_SERIES) this.#forgetOldest();
    return series;
  }

  #forgetOldest(): void {
    const oldest = this.#series.keys().next();
    if (!oldest.done) this.#series.delete(oldest.value);
  }
}

function labelsOf(subject: RequestSubject, flag: ResponseFlag): Labels {
  return {
    reporter: "waypoint",
    ...sideLabels("source", subject.source, subject.sourceIdentity),
    ...sideLabels("destination", subject.destination, subject.destinationIdentity),
    ...serviceLabels(subject.service),
    request_protocol: "tcp",
    response_flags: flag,
    connection_security_policy: "mutual_tls",
  };
}
