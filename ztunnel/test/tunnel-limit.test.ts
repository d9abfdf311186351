/** Tunnels take descriptors without carrying a connection: they count, or a peer with a good certificate could take all. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { clientContext, HBONE_ALPN } from "#core/identity/tls-options.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { PREFACE, settings } from "#core/testing/frames.ts";
import { client, echoServer, eventually } from "./apps.ts";
import { identityOf, serviceFor, TestMesh } from "./test-mesh.ts";

const LIMIT = 6;

test(
  "idle tunnels count against the limit of connections, and those that run go on",
  { timeout: 30_000 },
  async (t) => {
    const mesh = new TestMesh(chooseBackend());
    t.after(() => mesh.close());
    const node = mesh.node({ maxConnections: LIMIT });
    const victim = await node.pod({ name: "victim" });
    const elsewhere = mesh.node();
    const attacker = await elsewhere.pod({ name: "attacker" });
    const honest = await elsewhere.pod({ name: "honest" });
    const server = await echoServer(victim.address);
    t.after(() => server.close());
    const { service } = serviceFor(honest, victim, server.port);
    const dial = {
      host: service.vips[0]?.ip ?? "",
      port: honest.sockets.outboundPort,
      from: honest.address,
    };
    const again = async (): Promise<true | undefined> => {
      const app = client(dial);
      app.socket.end("again");
      const outcome = await app.outcome;
      return outcome.kind === "ended" && outcome.received === "again" ? true : undefined;
    };
    const running = client(dial);
    running.socket.write("ping");
    await running.received(4);

    const secureContext = clientContext(mesh.ca.issueNow(identityOf(attacker)));
    const open = new Set<TLSSocket>();
    for (let i = 0; i < 3 * LIMIT; i++) {
      const socket = tlsConnect({
        host: victim.address,
        port: mesh.ports.get(`${victim.address}:${HBONE_PORT}`) ?? 0,
        secureContext,
        ALPNProtocols: [...HBONE_ALPN],
        checkServerIdentity: () => undefined,
      });
      socket.on("error", () => undefined);
      socket.on("close", () => open.delete(socket));
      socket.resume();
      open.add(socket);
      await Promise.race([once(socket, "secureConnect"), once(socket, "close")]).catch(() => undefined);
      if (!socket.destroyed) socket.write(Buffer.concat([PREFACE, settings()]));
    }
    t.after(() => open.forEach((socket) => socket.destroy()));
    await eventually("the excess to be reset", () => (open.size < LIMIT ? true : undefined));
    assert.match(await node.scrape(), /^ambit_connections_refused_total [1-9]/m);
    running.socket.end("pong");
    assert.deepEqual(await running.outcome, { kind: "ended", received: "pingpong" });

    for (const socket of open) socket.destroy();
    // The places come back: the honest pod's own tunnel was never in question, a new connection in it is.
    await eventually("a place", () => again());
  },
);
