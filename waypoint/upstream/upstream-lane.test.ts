/** Which connection a request gets: with fake connections, so that every order can be had. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientConnection, ClientConnectionEvents, ClientExchange } from "#core/http/exchange.ts";
import { HBONE_PEER_REFUSED, HBONE_REFUSED } from "#core/hbone/hbone-errors.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { FakeHandle } from "#core/testing/fake-handle.ts";
import { settle } from "#core/testing/manual-clock.ts";
import type { HttpProtocol } from "../http/engines.ts";
import { type LaneOwner, type LaneUser, type PooledConnection, UpstreamLane } from "./upstream-lane.ts";

class FakeConnection implements ClientConnection {
  capacity = 1;
  usable = true;
  destroyed: string | undefined;
  readonly events: ClientConnectionEvents;

  constructor(events: ClientConnectionEvents) {
    this.events = events;
  }

  send(): ClientExchange {
    throw new Error("nobody sends here");
  }

  destroy(reason: string): void {
    this.destroyed = reason;
    this.capacity = 0;
    this.usable = false;
    this.events.onClose(undefined);
  }
}

class User implements LaneUser {
  readonly owner: LaneOwner;
  needsFresh = false;
  isOver = false;
  got: PooledConnection | undefined;
  failure: string | undefined;

  constructor(lane: UpstreamLane, owner: LaneOwner = { pinned: new Set() }, needsFresh = false) {
    this.owner = owner;
    this.needsFresh = needsFresh;
    lane.take(this);
  }

  onConnection(connection: PooledConnection): void {
    this.got = connection;
    (connection.connection as FakeConnection).capacity--;
  }

  onNoConnection(reason: string): void {
    this.failure = reason;
  }

  /** The exchange is over; the connection can take another. */
  done(): void {
    assert.ok(this.got !== undefined);
    (this.got.connection as FakeConnection).capacity++;
    this.got.release();
  }
}

interface Bench {
  readonly lane: UpstreamLane;
  readonly connections: FakeConnection[];
  readonly dials: PromiseWithResolvers<FakeHandle>[];
  readonly empties: () => number;
  connect(): Promise<void>;
  fail(error: Error): Promise<void>;
}

function bench(protocol: HttpProtocol = "http1", capacity = 1): Bench {
  const connections: FakeConnection[] = [];
  const dials: PromiseWithResolvers<FakeHandle>[] = [];
  let empties = 0;
  const lane = new UpstreamLane({
    protocol,
    dial: () => {
      const dial = Promise.withResolvers<FakeHandle>();
      dials.push(dial);
      return dial.promise;
    },
    connect: (_handle, events) => {
      const connection = new FakeConnection(events);
      connection.capacity = capacity;
      connections.push(connection);
      return connection;
    },
    onEmpty: () => empties++,
  });
  return {
    lane,
    connections,
    dials,
    empties: () => empties,
    connect: async () => {
      dials.shift()?.resolve(new FakeHandle());
      await settle();
    },
    fail: async (error) => {
      dials.shift()?.reject(error);
      await settle();
    },
  };
}

test("one dial for every request of HTTP/1, and the connection is used again", async () => {
  const { lane, dials, connections, connect } = bench();
  const [first, second] = [new User(lane), new User(lane)];
  assert.equal(dials.length, 2);
  await connect();
  await connect();
  assert.notEqual(first.got, second.got);
  assert.equal(first.got?.wasUsed, false);
  first.done();
  const third = new User(lane);
  assert.equal(third.got, first.got);
  assert.equal(third.got?.wasUsed, true);
  assert.equal(connections.length, 2);
});

test("one dial of HTTP/2 for all who wait, another only beyond its capacity", async () => {
  const { lane, dials, connections, connect } = bench("http2", 2);
  const users = [new User(lane), new User(lane), new User(lane)];
  assert.equal(dials.length, 1);
  await connect();
  assert.deepEqual(
    users.map(({ got }) => got !== undefined),
    [true, true, false],
  );
  assert.equal(dials.length, 1);
  await connect();
  assert.ok(users[2]?.got !== undefined);
  assert.equal(connections.length, 2);
});

test("whoever waits gets a connection that becomes free before the dial ends", async () => {
  const { lane, connect, dials } = bench();
  const first = new User(lane);
  await connect();
  const second = new User(lane);
  assert.equal(second.got, undefined);
  first.done();
  assert.equal(second.got, first.got);
  await connect();
  assert.equal(dials.length, 0);
});

test("a user that is over gets nothing; the connection serves the next", async () => {
  const { lane, connect } = bench();
  const gone = new User(lane);
  gone.isOver = true;
  await connect();
  assert.equal(gone.got, undefined);
  assert.ok(new User(lane).got !== undefined);
});

test("a connection that can take nothing more is never given", async () => {
  const { lane, connections, connect, dials } = bench();
  const first = new User(lane);
  await connect();
  first.done();
  const [connection] = connections;
  assert.ok(connection !== undefined);
  connection.capacity = 0;
  connection.usable = false;
  assert.equal(new User(lane).got, undefined);
  assert.equal(dials.length, 1);
});

test("a connection that belongs to one caller is given to no other", async () => {
  const { lane, connect } = bench();
  const owner: LaneOwner = { pinned: new Set() };
  const first = new User(lane, owner);
  await connect();
  first.got?.pinTo(owner);
  first.done();
  assert.equal(new User(lane).got, undefined);
  assert.equal(new User(lane, owner).got, first.got);
});

test("what cannot be sent again gets no connection that has been idle for long, what can does", async () => {
  const { lane, connect, dials } = bench();
  const first = new User(lane);
  await connect();
  first.done();
  const careful = (): User => new User(lane, { pinned: new Set() }, true);
  const soon = careful();
  assert.equal(soon.got, first.got);
  soon.done();
  lane.look();
  const late = careful();
  assert.equal(late.got, undefined);
  assert.equal(dials.length, 1);
  assert.equal(new User(lane).got, first.got);
});

test("an idle connection of HTTP/2 is good for anything", async () => {
  const { lane, connect } = bench("http2", 2);
  const first = new User(lane);
  await connect();
  first.done();
  lane.look();
  assert.equal(new User(lane, { pinned: new Set() }, true).got, first.got);
});

for (const [error, reason] of [
  [new AmbitError(HBONE_PEER_REFUSED, "x"), "upstream-identity"],
  [new AmbitError(HBONE_REFUSED, "x", { fields: { status: 401 } }), "upstream-refused"],
  [new AmbitError(HBONE_REFUSED, "x", { fields: { status: 503 } }), "upstream-unreachable"],
  [new Error("ECONNREFUSED"), "upstream-unreachable"],
] as const) {
  test(`a dial that fails (${error.message} ${reason}) is told to one user, and the lane goes`, async () => {
    const { lane, fail, empties } = bench();
    const user = new User(lane);
    await fail(error);
    assert.equal(user.failure, reason);
    assert.equal(empties(), 1);
  });
}

test("a dial of HTTP/2 that fails is told to all who waited for it", async () => {
  const { lane, fail, dials } = bench("http2", 10);
  const users = [new User(lane), new User(lane)];
  await fail(new Error("x"));
  assert.deepEqual(
    users.map(({ failure }) => failure),
    ["upstream-unreachable", "upstream-unreachable"],
  );
  assert.equal(dials.length, 0);
});

test("beyond its bound a lane refuses", () => {
  const { lane, dials } = bench();
  for (let i = 0; i < 1_024; i++) new User(lane);
  assert.equal(dials.length, 1_024);
  assert.equal(new User(lane).failure, "upstream-overflow");
  assert.equal(dials.length, 1_024);
});

test("a connection that nobody uses for a minute is closed, one in use is not", async () => {
  const { lane, connections, connect, empties } = bench();
  const [idle, busy] = [new User(lane), new User(lane)];
  await connect();
  await connect();
  idle.done();
  for (let look = 0; look < 12; look++) lane.look();
  assert.equal(connections[0]?.destroyed, undefined);
  lane.look();
  assert.equal(connections[0]?.destroyed, "idle");
  assert.equal(connections[1]?.destroyed, undefined);
  busy.done();
  for (let look = 0; look < 14; look++) lane.look();
  assert.equal(connections[1]?.destroyed, "idle");
  assert.ok(empties() > 0);
});

test("a connection of an hour takes no further request", async () => {
  const { lane, connections, connect } = bench();
  let user = new User(lane);
  await connect();
  for (let look = 0; look < 721; look++) {
    user.done();
    lane.look();
    user = new User(lane);
    if (user.got === undefined) break;
  }
  assert.equal(user.got, undefined);
  assert.equal(connections[0]?.destroyed, "it takes no further request");
});
