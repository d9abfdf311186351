/** An application that resets while ztunnel dials for it: the dial ends, and a line says who ended it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { client, eventually } from "./apps.ts";
import { TestMesh, type TestPod } from "./test-mesh.ts";

const limits = { timeout: 20_000 };

/** Dials of this pod hang until they are cancelled, as those to an address that drops packets. */
function hangingDials(pod: TestPod): {
  readonly begun: Promise<void>;
  readonly cancelled: Promise<void>;
  readonly isCancelled: () => boolean;
} {
  const begun = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  let isCancelled = false;
  pod.sockets.connect = (_options, signal) => {
    begun.resolve();
    return new Promise((_resolve, reject) =>
      signal?.addEventListener("abort", () => {
        isCancelled = true;
        cancelled.resolve();
        reject(signal.reason as Error);
      }),
    );
  };
  return { begun: begun.promise, cancelled: cancelled.promise, isCancelled: () => isCancelled };
}

for (const wanted of ["raw", "public"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`an abandoned dial, ${wanted} handles`, () => {
    for (const way of ["passthrough", "tunnel"] as const) {
      test(`by ${way} is ended and logged as the application's reset`, limits, async () => {
        const mesh = new TestMesh(backend);
        const node = mesh.node({ connectTimeoutMs: 15_000, tunnelTimeoutMs: 15_000 });
        try {
          const pod = await node.pod({ name: "frontend" });
          const host = mesh.freshIp();
          if (way === "tunnel") {
            const other = mesh.node();
            const server = await other.pod({ name: "catalog", addresses: [host] });
            assert.equal(server.address, host);
          }
          const dials = hangingDials(pod);
          const app = client({ host, port: pod.sockets.outboundPort, from: pod.address });
          app.socket.write("early words");
          await dials.begun;
          app.socket.resetAndDestroy();
          // The dial of a tunnel is shared: it goes on for whoever comes next, within its own bound.
          if (way === "passthrough") await dials.cancelled;
          const [line] = await eventually("a line", () => node.access().length > 0 && node.access());
          assert.equal(line?.["reason"], "reset");
          assert.match(String(line?.["error"]), /the application reset the connection during the dial/);
          assert.equal(dials.isCancelled(), way === "passthrough");
          assert.equal(node.registry.size, 0);
          assert.deepEqual(node.problems(), []);
        } finally {
          await mesh.close();
        }
      });
    }
  });
}
