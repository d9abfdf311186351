/** What goes wrong upstream: told truly, retried only where nobody can have acted, on another endpoint only after its own decision. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, httpApp, tcpApp } from "./apps.ts";
import { FRONTEND, limits, withCatalog, withPlain } from "./catalog.ts";
import { from, policy, rule } from "./policies.ts";
import { identity, type TestPod, TestWaypoint } from "./test-waypoint.ts";

test("an answer that breaks the rules is a 502, and its connection is not used again", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () =>
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nhi"),
      );
    },
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal((await caller.get("/a")).status, 502);
      assert.equal((await caller.get("/b")).status, 502);
      assert.equal(app.sockets.length, 2);
      const [line] = waypoint.access();
      assert.equal(line?.["reason"], "bad-answer");
      assert.equal(line?.["response_flags"], "UPE");
      assert.match(String(line?.["error"]), /content-length/);
    },
  ),
);

test("no endpoint is a 503, at once", limits, () =>
  withCatalog(async ({ waypoint, pod, catalog }) => {
    waypoint.mesh.commit({ upserts: [], removals: [{ type: "address", name: pod.workload.uid }] });
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const answer = await caller.get("/");
    assert.equal(answer.status, 503);
    assert.equal(answer.body, "no healthy upstream");
    const [line] = waypoint.access();
    assert.equal(line?.["response_flags"], "UH");
    assert.equal(line?.["response_code_details"], "no_healthy_upstream");
  }),
);

test(
  "an application that nobody is at is a 503 after bounded retries, and nothing is sent twice",
  limits,
  async () => {
    const waypoint = await TestWaypoint.start();
    try {
      const pod = await waypoint.pod("gone", 1);
      const service = waypoint.bind({ name: "gone", pods: [pod] });
      const caller = await waypoint.http(FRONTEND, service.address);
      const answer = await caller.request("POST", "/", {}, "body");
      assert.equal(answer.status, 503);
      assert.match(answer.body, /connection failure/);
      assert.equal(pod.peers.length, 3);
      const [line] = waypoint.access();
      assert.equal(line?.["reason"], "upstream-unreachable");
      assert.equal(line?.["response_flags"], "UF");
      assert.equal(line?.["stage"], "W4");
      assert.equal(line?.["retries"], 2);
    } finally {
      await waypoint.close();
    }
  },
);

test("a destination that denies the waypoint is not replaced by another", limits, async () => {
  const waypoint = await TestWaypoint.start();
  const address = waypoint.freshIp();
  const app = await httpApp(address);
  try {
    const refusing = await waypoint.pod("refusing", app.port);
    refusing.refuseWith = 401;
    const service = waypoint.bind({ name: "pair", pods: [refusing] });
    const caller = await waypoint.http(FRONTEND, service.address);
    assert.equal((await caller.get("/")).status, 503);
    assert.equal(refusing.peers.length, 1);
    assert.equal(waypoint.access()[0]?.["reason"], "upstream-refused");
  } finally {
    await waypoint.close();
    await app.close();
  }
});

interface Pair {
  readonly waypoint: TestWaypoint;
  readonly dead: TestPod;
  readonly live: TestPod;
}

/** A service of two pods, of which one has no application. */
async function withPair(work: (pair: Pair, get: () => Promise<number>) => Promise<void>): Promise<void> {
  const waypoint = await TestWaypoint.start();
  const address = waypoint.freshIp();
  const app = await httpApp(address);
  try {
    const live = await waypoint.pod("live", app.port, { addresses: [address] });
    const dead = await waypoint.pod("dead", app.port);
    const service = waypoint.bind({ name: "pair", pods: [live, dead] });
    await work({ waypoint, dead, live }, async () => {
      const caller = await waypoint.http(FRONTEND, service.address);
      return (await caller.get("/")).status;
    });
  } finally {
    await waypoint.close();
    await app.close();
  }
}

test("what did not reach one endpoint goes to another", limits, () =>
  withPair(async ({ waypoint }, get) => {
    for (let i = 0; i < 12; i++) assert.equal(await get(), 200);
    assert.ok(waypoint.access().some((line) => Number(line["retries"] ?? 0) > 0));
  }),
);

test("another endpoint is asked only after the decision for it", limits, () =>
  withPair(async ({ waypoint, live, dead }, get) => {
    const own = policy("own", { action: "deny", rules: [rule({ from: [from("frontend")] })] });
    waypoint.configure({
      policies: [own],
      workloads: [
        { workload: live.workload.uid, policies: [own.key] },
        { workload: dead.workload.uid, policies: [] },
      ],
    });
    // Whichever comes first: nothing reaches the live one, and a refusal is not tried elsewhere.
    for (let i = 0; i < 12; i++) assert.equal(await get(), 403);
    assert.ok(dead.peers.length > 0);
    assert.deepEqual(live.peers, []);
    assert.ok(waypoint.access().every((line) => line["policy"] === "shop/own"));
  }),
);

test(
  "another endpoint is asked under the policies of now, and not under those of the request's beginning",
  limits,
  () =>
    withPair(async ({ waypoint, live, dead }, get) => {
      const own = policy("own", { action: "deny", rules: [rule({ from: [from("frontend")] })] });
      const workloads = (
        policies: readonly (typeof own.key)[],
      ): Parameters<typeof waypoint.configure>[0] => ({
        policies: [own],
        workloads: [
          { workload: live.workload.uid, policies },
          { workload: dead.workload.uid, policies: [] },
        ],
      });
      // In the moment in which the first endpoint turns out to be none.
      Object.defineProperty(dead, "refuseWith", {
        get: () => {
          waypoint.configure(workloads([own.key]));
          return 503;
        },
      });
      for (let i = 0; i < 20 && dead.peers.length === 0; i++) {
        const before = live.peers.length;
        waypoint.configure(workloads([]));
        const status = await get();
        if (dead.peers.length === 0) continue;
        assert.equal(status, 403);
        assert.equal(live.peers.length, before);
      }
      assert.equal(dead.peers.length, 1);
    }),
);

test(
  "a pooled connection that died meanwhile costs a safe request nothing, and a POST is not repeated",
  limits,
  async () => {
    const waypoint = await TestWaypoint.start();
    const address = waypoint.freshIp();
    const seen: string[] = [];
    // Answers one request per connection, and drops the connection when the second comes.
    const app = await tcpApp(address, (socket) => {
      let count = 0;
      socket.on("data", (chunk: Buffer) => {
        seen.push(chunk.toString("latin1").split(" ")[0] ?? "");
        if (++count === 1) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        else socket.resetAndDestroy();
      });
    });
    try {
      const pod = await waypoint.pod("moody", app.port, { addresses: [address] });
      const service = waypoint.bind({ name: "moody", pods: [pod] });
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal((await caller.get("/1")).status, 200);
      assert.equal((await caller.get("/2")).status, 200);
      assert.equal(app.sockets.length, 2);
      assert.equal((await caller.request("POST", "/3", {}, "x")).status, 503);
      assert.deepEqual(seen, ["GET", "GET", "GET", "POST"]);
      assert.equal(waypoint.access()[1]?.["retries"], 1);
      assert.equal(waypoint.access()[2]?.["reason"], "upstream-lost");
    } finally {
      await waypoint.close();
      await app.close();
    }
  },
);

test("an upstream that closes an idle connection is noticed before the next request", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"));
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      for (let i = 0; i < 5; i++) assert.equal((await caller.request("POST", "/", {}, "x")).status, 200);
    },
  ),
);

test("a route's time runs out: 504, and the upstream's request is given up", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      const answer = await caller.get("/slow");
      assert.equal(answer.status, 504);
      assert.equal(answer.body, "upstream request timeout");
      await eventually("the upstream is let go", () => app.sockets[0]?.destroyed === true);
      assert.equal(waypoint.access()[0]?.["response_flags"], "UT");
    },
    { limits: { routeTimeoutMs: 1_000 } },
  ),
);

test(
  "a defect in a step lets nobody past it: 500, and the connection's next request is judged",
  limits,
  async () => {
    await withCatalog(async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      const sound = waypoint.config.get();
      assert.ok(sound !== undefined);
      const broken = Object.defineProperty({ ...sound }, "pathNormalization", {
        get: () => {
          throw new Error("a defect");
        },
      });
      waypoint.config.set(broken);
      const answer = await caller.get("/items");
      assert.deepEqual([answer.status, answer.body], [500, "internal error"]);
      assert.equal(app.requests.length, 0);
      const [line] = waypoint.access();
      assert.deepEqual([line?.["reason"], line?.["error"]], ["failure", "a defect"]);
      waypoint.config.set(sound);
      assert.equal((await caller.get("/items")).status, 200);
    });
  },
);

test("a request on which nothing moves is ended", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal((await caller.get("/stuck")).status, 504);
      assert.equal(waypoint.access()[0]?.["response_flags"], "SI");
    },
    { limits: { idleMs: 100 } },
  ),
);

test("too many requests at once are refused with a reason, the others go on", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const waiting = [
        await waypoint.http(FRONTEND, service.address),
        await waypoint.http(FRONTEND, service.address),
      ];
      for (const caller of waiting) caller.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      await eventually("two are under way", () => app.sockets.length === 2);
      const third = await waypoint.http(FRONTEND, service.address);
      const answer = await third.get("/");
      assert.equal(answer.status, 503);
      assert.match(answer.body, /overload/);
      assert.equal(waypoint.access()[0]?.["response_flags"], "UO");
    },
    { limits: { maxCalls: 4 } },
  ),
);

for (const [name, said] of [
  ["say nothing", ""],
  ["have begun a request", "GET / HT"],
  ["rest after a request", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"],
] as const) {
  test(`too many connections of one caller that ${name} are refused, other callers go on`, limits, () =>
    withCatalog(
      async ({ waypoint, catalog, app }) => {
        const held = [
          await waypoint.http(FRONTEND, catalog.address),
          await waypoint.http(FRONTEND, catalog.address),
        ];
        for (const caller of held) if (said !== "") caller.send(said);
        if (said.endsWith("\r\n")) await eventually("they were answered", () => app.requests.length === 2);
        const third = await waypoint.http(FRONTEND, catalog.address);
        assert.equal(await third.ended(), "reset");
        const line = waypoint.access().at(-1);
        assert.deepEqual(
          [line?.["reason"], line?.["response_code"], line?.["response_flags"], line?.["stage"]],
          ["too-many-connections", 503, "UO", "W2"],
        );
        assert.match(
          await waypoint.metrics.metrics(),
          /^ambit_connects_refused_total\{reason="too-many-connections"\} 1$/m,
        );
        const other = await waypoint.http(identity("other"), catalog.address);
        assert.equal((await other.get("/items")).status, 200);
        held[0]?.handle.reset();
        // The waypoint hears of it a moment later.
        let status = 0;
        for (let i = 0; i < 200 && status !== 200; i++) {
          const again = await waypoint.http(FRONTEND, catalog.address);
          status = await again.get("/items").then(
            (answer) => answer.status,
            () => 0,
          );
        }
        assert.equal(status, 200, "there is room again");
      },
      { limits: { maxConnections: 4 } },
    ),
  );
}
