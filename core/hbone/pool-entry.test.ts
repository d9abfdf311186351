/** Which tunnel a stream is given, by what the tunnels say of themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../testing/manual-clock.ts";
import { PoolEntry } from "./pool-entry.ts";
import type { Tunnel } from "./tunnel.ts";

interface FakeTunnel {
  readonly tunnel: Tunnel;
  readonly says: { congestedMs: number; streamCount: number; canOpen: boolean };
}

function fakeTunnel(serial = "1"): FakeTunnel {
  const says = { congestedMs: 0, streamCount: 1, canOpen: true };
  const session = {
    get canOpen() {
      return says.canOpen;
    },
    get streamCount() {
      return says.streamCount;
    },
    isDraining: false,
    peerStreamLimit: 1_000,
    congestedMs: () => says.congestedMs,
    drain: () => {
      says.canOpen = false;
    },
  };
  const tunnel = { session, serial, notAfterMs: Number.POSITIVE_INFINITY } as unknown as Tunnel;
  return { tunnel, says };
}

function pool(onDial: () => void = () => undefined) {
  const dialled: FakeTunnel[] = [];
  const inForce = { serial: "1" };
  const entry = new PoolEntry({
    clock: createManualClock(),
    idleReleaseMs: 300_000,
    capacityTimeoutMs: 10_000,
    onEmpty: () => undefined,
  });
  const acquire = (): Promise<Tunnel> =>
    entry.acquire(
      {
        serial: () => inForce.serial,
        dial: () => {
          assert.ok(dialled.length < 1_000, "dials without end");
          onDial();
          const made = fakeTunnel(inForce.serial);
          dialled.push(made);
          return Promise.resolve(made.tunnel);
        },
        open: (tunnel) => tunnel,
      },
      AbortSignal.timeout(5_000),
    );
  return { dialled, inForce, acquire };
}

test("a tunnel whose window is nearly used up for 100 ms is passed over, and used again when it is not", async () => {
  const { dialled, acquire } = pool();
  const first = await acquire();
  const saying = dialled[0]?.says;
  assert.ok(saying);
  saying.congestedMs = 99;
  assert.equal(await acquire(), first, "not yet");
  saying.congestedMs = 100;
  const second = await acquire();
  assert.notEqual(second, first);
  assert.equal(await acquire(), second, "the one that moves is used, no third is dialled");
  assert.equal(dialled.length, 2);
  saying.congestedMs = 0;
  assert.equal(await acquire(), first);
});

test("tunnels that are all used up are no reason to dial without end", async () => {
  const { dialled, acquire } = pool();
  for (let i = 0; i < 300; i++) {
    await acquire();
    for (const { says } of dialled) says.congestedMs = 1_000;
  }
  assert.equal(dialled.length, 256);
});

test("a certificate that is renewed during the dial is the one that counts", async () => {
  const { dialled, inForce, acquire } = pool(() => {
    inForce.serial = "2";
  });
  const tunnel = await acquire();
  assert.equal(tunnel.serial, "2");
  assert.equal(await acquire(), tunnel);
  assert.equal(dialled.length, 1);
});
