/** `docs/limits.md` has the numbers of the code: whoever changes one of these bounds changes its line there, and here. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

const ROOT = join(import.meta.dirname, "..");

/** A file, how the bound stands in it, and how the row of that file in the document says it. */
const BOUNDS: readonly (readonly [file: string, code: string, document: string])[] = [
  ["ztunnel/app.ts", "openFileLimit() * 0.45", "45 %"],
  ["ztunnel/app.ts", "perPod: 512, perSource: 64", "512 per pod, 64 per source"],
  ["ztunnel/app.ts", "tunnelTimeoutMs: 2 * connectTimeoutMs", "20 s"],
  ["ztunnel/app.ts", "total: 2_048, perPod: 1_024", "2,048, of one pod 1,024"],
  ["ztunnel/config.ts", 'AMBIT_WAYPOINT_WAIT", {\n      default: 10_000', "10 s"],
  ["ztunnel/proxy/outbound.ts", "WAYPOINT_CONNECT_MS = 2_000", "2 s"],
  ["ztunnel/proxy/waypoint-patience.ts", "firstMs: 50, maxMs: 1_000", "50 ms, later a second"],
  ["ztunnel/proxy/binding-drain.ts", "idleMs: 200, lastCallMs: 1_000, deadlineMs: 5_000", "after 5 s"],
  ["ztunnel/proxy/accept-loop.ts", "BACKLOG = 1024", "1,024"],
  ["ztunnel/proxy/metrics.ts", "MAX_GROUPS = 10_000", "10,000"],
  ["core/hbone/hbone-server.ts", "HANDSHAKE_TIMEOUT_MS = 10_000", "10 s"],
  ["core/hbone/pool-entry.ts", "STREAMS_PER_TUNNEL = 100", "at 100 streams"],
  ["core/hbone/pool-entry.ts", "MAX_TUNNELS = 256", "256;"],
  ["core/hbone/hbone-pool.ts", "FIVE_MINUTES_MS = 300_000", "5 min"],
  ["core/hbone/client-stream.ts", "PAUSE_EARLY_BYTES = 8 * 1024", "16 KiB"],
  ["core/hbone/client-stream.ts", "MAX_ATTEMPTS = 3", "3 attempts"],
  ["core/hbone/baggage.ts", "MAX_BYTES = 8_192", "8 KiB"],
  ["core/linux/tcp-socket.ts", "FIRST_SOURCE_PORT = 10_240", "10,240"],
  ["core/linux/tcp-socket.ts", "LAST_SOURCE_PORT = 32_767", "32,767"],
  ["core/handle/tcp-settings.ts", "KEEPALIVE_IDLE_SECONDS = 180", "180 s"],
  ["core/http2/session-options.ts", "announcedStreams: 200", "200 announced"],
  ["core/http2/session-options.ts", "maxStreams: 1_000", "above 1,000"],
  ["core/http2/session-options.ts", "maxFrameSize: 1_048_576", "1 MiB"],
  ["core/http2/session-options.ts", "maxHeaderListBytes: 16_384", "16 KiB from servers"],
  ["core/http2/session-options.ts", "maxHeaderListBytes: 65_536", "64 KiB from clients"],
  ["core/http2/session-options.ts", "controlOutputBytes: 65_536", "64 KiB"],
  ["core/http2/flow-control.ts", "CONNECTION_WINDOW: number = 16 * 1024 * 1024", "16 MiB per connection"],
  ["core/http2/flow-control.ts", "MAX_STREAM_WINDOW: number = 4 * 1024 * 1024", "to 4 MiB"],
  ["core/http2/flow-control.ts", "STREAM_FLOOR: number = 256 * 1024", "from 256 KiB"],
  ["core/http2/flow-control.ts", "SMALL_STREAM_FLOOR: number = 64 * 1024", "64 KiB"],
  ["core/http2/flow-control.ts", "totalBytes: number = 256 * 1024 * 1024", "256 MiB"],
  ["core/http2/flood-limits.ts", "resets: { capacity: 200, perSecond: 50 }", "200 at once, 50 per second"],
  ["core/http2/flood-limits.ts", "capacity: 10_000, perSecond: 1_000", "10,000 at once, 1,000 per second"],
  ["core/http2/flood-limits.ts", "headerBlockBytes: 65_536", "64 KiB"],
  ["core/http2/flood-limits.ts", "continuationFrames: 8", "8 CONTINUATION"],
  ["core/http2/output-turns.ts", "OUTPUT_HIGH = 128 * 1024", "128 KiB"],
  ["core/http2/send-queue.ts", "OUTPUT_MAX = 2 * 1024 * 1024 - 64 * 1024", "1,984 KiB"],
  ["core/http2/session-core.ts", "REMEMBERED_RESETS = 1_000", "1,000 per connection"],
  ["core/http2/send-queue.ts", "UNCAPPED_SHARE = 0.75", "once a quarter"],
  ["core/http2/send-queue.ts", "CAP_SLACK = 64 * 1024", "and 64 KiB"],
  ["core/http2/delivery.ts", "MAX_PINNED_RINGS = 32", "32 rings"],
  ["core/http2/hpack/decoder.ts", "INITIAL_TABLE_BYTES = 4_096", "4 KiB"],
  ["istio-cni/agent/config.ts", "30_000", "30 s"],
  ["istio-cni/agent/config.ts", "60_000", "60 s"],
  ["istio-cni/capture/capture-plan.ts", "QUIET_MS = 400", "400 ms"],
  ["istio-cni/capture/self-test.ts", "DEADLINE_MS = 2_000", "2 s"],
  ["istio-cni/bpf/steer.h", "PROBE_LIFETIME_NS 30000000000ULL", "30 s"],
  ["istio-cni/agent/watchdog.ts", "VERIFY_EVERY_MS = 10_000", "10 s"],
  ["istio-cni/agent/pod-reconciler.ts", "MAX_RETRY_MS = 15_000", "15 s"],
  ["istio-cni/plugin/protocol.ts", "BODY_LIMIT_BYTES = 1_048_575", "1 MiB"],
  ["istio-cni/plugin/protocol.ts", "HEAD_LIMIT_BYTES = 16_384", "16 KiB"],
  ["core/wire/zds-codec.ts", "MAX_ZDS_MESSAGE_BYTES = 1024", "1 KiB"],
  ["core/identity/cert-manager.ts", "MAX_IN_FLIGHT = 8", " 8 "],
  ["core/identity/cert-manager.ts", "maxMs: 150_000", "150 s"],
  ["core/identity/csr.ts", "MAX_CSR_BYTES = 16_384", "16 KiB"],
  ["core/identity/x509.ts", "MAX_CERTIFICATE_BYTES = 64 * 1024", "64 KiB"],
  ["core/identity/tls-options.ts", "MAX_CHAIN = 10", "10 certificates"],
  ["controller/caller-checks.ts", "{ perSecond: 50, burst: 400 }", "50 per second and 400"],
  ["controller/ca/token-review.ts", "POSITIVE_MS = 60_000", "60 s"],
  ["controller/ca/caller-identity.ts", "TERMINATION_GRACE_MS = 60_000", "60 s"],
  ["controller/push/client-stream.ts", "SILENCE_LIMIT_MS = 60_000", "60 s"],
  ["controller/push/delta-server.ts", "LOG_LIMIT = 1_000_000", "1,000,000"],
  ["controller/push/debounce.ts", "MIN_ADDRESS_WINDOW_MS = 20", "20 ms"],
  ["core/wire/xds-codec.ts", "MAX_DELTA_RESPONSE_BYTES = 200 * 1024 * 1024", "200 MiB"],
  ["core/wire/proto-reader.ts", "MAX_RESOURCE_BYTES = 2 * 1024 * 1024", "2 MiB"],
  ["core/k8s/kube-client.ts", "MAX_ANSWER_BYTES = 256 * 1_048_576", "256 MiB"],
  ["core/authz/nearest-miss.ts", "MAX_RULES_LOOKED_AT = 256", "256"],
  ["core/authz/request/nearest-miss.ts", "MAX_RULES_LOOKED_AT = 256", "256"],
  ["core/authz/request/path-template.ts", "MAX_WILDCARDS = 32", "32"],
  ["core/wire/waypoint-codec.ts", "MAX_CONFIG_BYTES = 16 * 1024 * 1024", "16 MiB"],
  ["controller/translate/excluded-ports.ts", "MAX_PORTS = 64", "| 64 |"],
  ["controller/status/listed.ts", "MAX_NAMES = 5", "5, then a count"],
  ["ztunnel/proxy/recent-outsiders.ts", "MAX_CALLERS = 1_000", "1,000; more are counted"],
  ["ztunnel/proxy/recent-outsiders.ts", "SLOT_MS = 5 * 60_000", "60 to 65 minutes"],
];

const rows = readFileSync(join(ROOT, "docs/limits.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| "));

for (const [file, code, document] of BOUNDS) {
  test(`${file}: ${code}`, () => {
    assert.ok(readFileSync(join(ROOT, file), "utf8").includes(code), "has changed: docs/limits.md, too?");
    const said = rows.filter((row) => row.includes(`\`${file}\``));
    assert.ok(
      said.some((row) => row.includes(document)),
      `docs/limits.md: no row of ${file} says "${document}"`,
    );
  });
}
