/** The controller's metrics on 15014, with Istio's names where Istio has one. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { PushCounters } from "./push/client-stream.ts";

/** Read at every scrape. */
export interface ControllerGauges {
  readonly clients: () => number;
  readonly bytesInFlight: () => number;
  readonly resources: () => Readonly<Record<string, number>>;
  readonly problems: () => Readonly<Record<string, number>>;
  readonly apiAgeSeconds: () => number;
  readonly isLeader: () => boolean;
}

export interface ControllerMetrics {
  readonly registry: Registry;
  readonly push: PushCounters;
  /** Milliseconds between the oldest change of a publication and its push. */
  observeAge(ms: number): void;
  countCertificate(outcome: string): void;
}

export function createMetrics(gauges: ControllerGauges): ControllerMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  registerGauges(registers, gauges);
  const pushes = new Counter({
    name: "pilot_xds_pushes",
    help: "Responses sent to clients.",
    labelNames: ["type"],
    registers,
  });
  const pushedBytes = new Counter({
    name: "ambit_xds_sent_bytes_total",
    help: "Bytes of responses sent.",
    labelNames: ["type"],
    registers,
  });
  const pushed = new Counter({
    name: "ambit_xds_resources_sent_total",
    help: "Resources in responses sent.",
    labelNames: ["type"],
    registers,
  });
  const rejects = new Counter({
    name: "pilot_total_xds_rejects",
    help: "Responses that clients refused.",
    labelNames: ["type"],
    registers,
  });
  const certificates = new Counter({
    name: "ambit_ca_requests_total",
    help: "Requests for certificates by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  const age = new Histogram({
    name: "pilot_proxy_convergence_time",
    help: "Seconds between a change and its push.",
    buckets: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 3, 5, 10, 20, 30],
    registers,
  });
  return {
    registry,
    push: {
      pushed: (type, resources, bytes) => {
        pushes.inc({ type });
        pushed.inc({ type }, resources);
        pushedBytes.inc({ type }, bytes);
      },
      nacked: (type) => rejects.inc({ type }),
    },
    observeAge: (ms) => age.observe(ms / 1_000),
    countCertificate: (outcome) => certificates.inc({ outcome }),
  };
}

function registerGauges(registers: Registry[], gauges: ControllerGauges): void {
  const simple = (name: string, help: string, read: () => number): void => {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
  };
  simple("pilot_xds", "Clients connected.", gauges.clients);
  simple("ambit_xds_unacknowledged_bytes", "Bytes sent and not acknowledged.", gauges.bytesInFlight);
  simple(
    "ambit_kube_api_age_seconds",
    "Since the last sign of life of the API server.",
    gauges.apiAgeSeconds,
  );
  simple("ambit_leader", "1 while this replica leads.", () => (gauges.isLeader() ? 1 : 0));
  const labelled = (
    name: string,
    help: string,
    label: string,
    read: () => Readonly<Record<string, number>>,
  ): void => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: [label],
      registers,
      collect: () => {
        gauge.reset();
        for (const [key, value] of Object.entries(read())) gauge.set({ [label]: key }, value);
      },
    });
  };
  labelled("ambit_resources", "Resources in the present state.", "kind", gauges.resources);
  labelled(
    "ambit_translation_problems",
    "Fields without effect and refused claims.",
    "kind",
    gauges.problems,
  );
}
