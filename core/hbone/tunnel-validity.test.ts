/**
 * The end of a certificate is the end of new streams, at either end and for either certificate; what is open lives on.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import { ip } from "../net/ip.ts";
import {
  clientCertificate,
  connectTo,
  type HboneFixture,
  hboneFixture,
  serverCertificate,
} from "../testing/hbone-fixture.ts";
import { createManualClock, type ManualClock } from "../testing/manual-clock.ts";
import type { HboneClientStream, HboneDialDeps } from "./hbone-pool.ts";
import type { HboneStreamEvents, StreamLoss } from "./hbone-stream.ts";

const HOUR_MS = 3_600_000;
const APP = { ip: ip("127.0.0.1"), port: 80 };
/** Which certificate ends after an hour; the others after ten. */
type Ending = "our own" | "the peer's";
const ENDINGS: readonly Ending[] = ["our own", "the peer's"];

const endMs = (clock: ManualClock, isThis: boolean): number => clock.nowMs() + (isThis ? 1 : 10) * HOUR_MS;
const accepted = (certificate: typeof clientCertificate, notAfterMs: number) => ({
  kind: "accepted" as const,
  identity: certificate.identity,
  serial: certificate.serial,
  notAfterMs,
});

/** Credentials as of now: the ends are counted from the clock. */
function depsOf(mesh: HboneFixture, clock: ManualClock, ending: Ending): HboneDialDeps {
  const ownEndMs = endMs(clock, ending === "our own");
  const peerEndMs = endMs(clock, ending === "the peer's");
  return {
    connect: mesh.deps.connect,
    credentials: () => ({
      ...mesh.deps.credentials(),
      notAfterMs: ownEndMs,
      verifyPeer: () => accepted(serverCertificate, peerEndMs),
    }),
  };
}

/** Echoes what it is told through `echo`; resolves when the 200 has come. */
function opened(
  stream: HboneClientStream,
): Promise<{ echo(text: string): Promise<string>; readonly lost: () => StreamLoss | undefined }> {
  const ready = Promise.withResolvers<void>();
  let waiting: ((text: string) => void) | undefined;
  let loss: StreamLoss | undefined;
  const events: HboneStreamEvents = {
    onTunnelOpen: () => ready.resolve(),
    onTunnelData: (pieces) => {
      waiting?.(Buffer.concat(pieces).toString());
      return "consumed";
    },
    onTunnelEnd: () => undefined,
    onTunnelWritable: () => undefined,
    onTunnelLoss: (why) => {
      loss = why;
      ready.reject(new Error(JSON.stringify(why)));
    },
  };
  stream.start(events);
  const echo = (text: string): Promise<string> =>
    new Promise((resolve) => {
      waiting = resolve;
      stream.write(Buffer.from(text));
    });
  return ready.promise.then(() => ({ echo, lost: () => loss }));
}

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  const echoMesh = (
    clock: ManualClock,
    server: Parameters<typeof hboneFixture>[0]["server"] = {},
  ): Promise<HboneFixture> =>
    hboneFixture({
      backend,
      pool: { clock },
      server: { clock, ...server },
      onConnect: (request) => {
        const stream = request.accept();
        stream.start({
          onTunnelData: (pieces) => {
            for (const piece of pieces) stream.write(Buffer.from(piece));
            return "consumed";
          },
          onTunnelEnd: () => stream.end(),
          onTunnelWritable: () => undefined,
          onTunnelLoss: () => undefined,
        });
      },
    });

  describe(`past the end of a certificate: ${wanted}`, () => {
    for (const ending of ENDINGS) {
      it(`the dialling end opens the next tunnel when ${ending} has ended, and the old stream lives on`, async (t) => {
        const clock = createManualClock();
        const mesh = await echoMesh(clock);
        t.after(() => mesh.close());
        const connect = (): Promise<HboneClientStream> =>
          mesh.pool.connect(
            mesh.key,
            connectTo(APP),
            depsOf(mesh, clock, ending),
            AbortSignal.timeout(5_000),
          );
        const first = await opened(await connect());
        clock.jumpWall(HOUR_MS - 1);
        await opened(await connect());
        assert.equal(mesh.connections.length, 1, "up to the end the tunnel is used");
        clock.jumpWall(2);
        await opened(await connect());
        assert.equal(mesh.connections.length, 2);
        assert.equal(await first.echo("still"), "still");
        assert.equal(first.lost(), undefined);
      });

      it(`the serving end refuses streams when ${ending} has ended, and the old stream lives on`, async (t) => {
        const clock = createManualClock();
        const peerEndMs = endMs(clock, ending === "the peer's");
        const mesh = await echoMesh(clock, {
          notAfterMs: endMs(clock, ending === "our own"),
          verifyPeer: () => accepted(clientCertificate, peerEndMs),
        });
        t.after(() => mesh.close());
        // The client believes that all is well for ten hours.
        const deps = depsOf(mesh, clock, "our own");
        const patient: HboneDialDeps = {
          connect: deps.connect,
          credentials: () => ({
            ...deps.credentials(),
            notAfterMs: clock.nowMs() + 20 * HOUR_MS,
            verifyPeer: () => accepted(serverCertificate, clock.nowMs() + 20 * HOUR_MS),
          }),
        };
        const connect = (): Promise<HboneClientStream> =>
          mesh.pool.connect(mesh.key, connectTo(APP), patient, AbortSignal.timeout(5_000));
        const first = await opened(await connect());
        clock.jumpWall(HOUR_MS + 1);
        await assert.rejects(connect().then(opened), "three tunnels refuse, then it is given up");
        assert.ok(mesh.connections.length > 1, "it was tried on another tunnel");
        assert.equal(await first.echo("still"), "still");
      });
    }
  });
}
