/** Bodies, answers and upgrades on their way through (l7.md 3 and 5): nothing lost, nothing invented, nothing kept without bound. */
import assert from "node:assert/strict";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Http2ClientConnection } from "#core/http2/client-connection.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import type { HttpField, RequestHead } from "#core/http/message.ts";
import { eventually } from "./apps.ts";
import { FRONTEND, limits, withCatalog, withPlain } from "./catalog.ts";
import { NO_ADMIN } from "./policies.ts";
import { identity, TestWaypoint } from "./test-waypoint.ts";

test("bodies of both framings arrive whole, with trailers", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const big = "x".repeat(300_000);
    assert.equal((await caller.request("POST", "/a", {}, big)).status, 200);
    caller.send(
      "POST /b HTTP/1.1\r\nhost: c\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert.equal((await caller.answer()).status, 200);
    assert.deepEqual(
      app.requests.map(({ body }) => body.length),
      [300_000, 5],
    );
    assert.equal(app.requests[1]?.body, "abcde");
    assert.deepEqual(
      waypoint.access().map((line) => line["bytes_received"]),
      [300_000, 5],
    );
  }),
);

test("an interim answer passes, a body that waits for it follows", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 100 Continue\r\n\r\n"));
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        if (text.endsWith("hello")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
      });
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
      assert.equal((await caller.answer()).status, 100);
      caller.send("hello");
      const answer = await caller.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.body, "hi");
    },
  ),
);

test("an early answer passes; the rest of the body never becomes a request", limits, () => {
  let seen = "";
  return withPlain(
    (socket) => {
      socket.on("data", (chunk: Buffer) => {
        seen += chunk.toString("latin1");
        if (!seen.includes("413")) socket.write("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
      });
    },
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nhello");
      assert.equal((await caller.answer()).status, 413);
      caller.send("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
      await caller.ended();
      await eventually("the upstream connection is given up", () => app.sockets[0]?.destroyed === true);
      assert.equal(app.sockets.length, 1);
      assert.equal(seen.includes("/smuggled HTTP") && seen.includes("GET /smuggled"), false);
    },
  );
});

test("a websocket opens after a 101 that names it and carries bytes both ways to both ends", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () => {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
        );
        socket.on("data", (chunk) => socket.write(chunk));
        socket.on("end", () => socket.end("bye"));
      });
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send(
        "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: y\r\nsec-websocket-version: 13\r\n\r\n",
      );
      assert.equal((await caller.answer()).status, 101);
      caller.send("ping");
      assert.equal(await caller.received(4), "ping");
      caller.handle.shutdown();
      assert.equal(await caller.received(3), "bye");
      assert.equal(await caller.ended(), "end");
      const line = await eventually("a line", () => waypoint.access()[0]);
      assert.equal(line["response_code"], 101);
      assert.equal(line["bytes_sent"], 7);
    },
  ),
);

test("a refused upgrade is an ordinary answer", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      const upgrade = { upgrade: "websocket", connection: "upgrade", "sec-websocket-key": "y" };
      assert.equal((await caller.get("/admin", upgrade)).status, 403);
      assert.equal((await caller.get("/items")).status, 200);
      assert.equal(app.requests.length, 1);
    },
    { policies: [NO_ADMIN] },
  ),
);

test(
  "an answer that ends with its connection is framed anew; a broken one is broken for the caller",
  limits,
  () => {
    let isFirst = true;
    return withPlain(
      (socket) => {
        socket.once("data", () => {
          if (isFirst) socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
          else {
            socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", () =>
              socket.resetAndDestroy(),
            );
          }
          isFirst = false;
        });
      },
      async ({ waypoint, service }) => {
        const caller = await waypoint.http(FRONTEND, service.address);
        const answer = await caller.get("/");
        assert.equal(answer.body, "until the end");
        assert.equal(answer.fields["transfer-encoding"], "chunked");
        await assert.rejects(caller.get("/"));
        assert.equal(await caller.ended(), "reset");
        const line = waypoint.access()[1];
        assert.equal(line?.["reason"], "upstream-lost");
        assert.equal(line?.["response_code"], 200);
        assert.equal(line?.["response_flags"], "UC");
      },
    );
  },
);

/** Windows of both tunnels and the buffers of the kernel's sockets; there is far more to send. */
const MUCH = 32 * 1024 * 1024;
/** A whole answer is less than one caller's share, so that only others could have it reset. */
const PIECE: Buffer = Buffer.alloc(64 * 1024);
const MANY_PIECES = 24;

test("a caller that reads nothing holds back the application, not the waypoint's memory", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${1 << 30}\r\n\r\n`);
        const piece = Buffer.alloc(64 * 1024);
        const fill = (): void => {
          while (socket.write(piece));
        };
        socket.on("drain", fill);
        fill();
      });
    },
    async ({ waypoint, service, app }) => {
      const stream = await waypoint.tunnel(FRONTEND, service.address);
      // Never credited: the tunnel's window is all that the caller takes.
      stream.start({
        onTunnelData: () => "copied",
        onTunnelEnd: () => undefined,
        onTunnelWritable: () => undefined,
        onTunnelLoss: () => undefined,
      });
      stream.write(Buffer.from("GET /big HTTP/1.1\r\nhost: a\r\n\r\n"));
      const socket = await eventually("a connection", () => app.sockets[0]);
      const sentNow = (): number => socket.bytesWritten - socket.writableLength;
      let last = -1;
      let quiet = 0;
      await eventually("the application stands still", () => {
        const now = sentNow();
        quiet = now === last && socket.writableLength > 0 ? quiet + 1 : 0;
        last = now;
        return quiet > 100 || now >= MUCH;
      });
      const sent = sentNow();
      assert.ok(sent < MUCH, `${sent} bytes were sent`);
      stream.reset();
      const line = await eventually("a line", () => waypoint.access()[0]);
      assert.equal(line["reason"], "caller-gone");
    },
  ),
);

test("slow readers of one identity have no others reset, and what is kept for them is bounded", limits, () =>
  withPlain(
    (socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MANY_PIECES * PIECE.length}\r\n\r\n`);
        for (let i = 0; i < MANY_PIECES; i++) socket.write(PIECE);
      });
    },
    async ({ waypoint, service }) => {
      let lost = 0;
      for (let i = 0; i < 12; i++) {
        const slow = await waypoint.tunnel(FRONTEND, service.address);
        slow.start({
          onTunnelData: () => "copied",
          onTunnelEnd: () => undefined,
          onTunnelWritable: () => undefined,
          onTunnelLoss: () => lost++,
        });
        slow.write(Buffer.from("GET /big HTTP/1.1\r\nhost: a\r\n\r\n"));
      }
      await eventually("their share is used up", () => lost > 0);
      const other = await waypoint.tunnel(identity("other"), service.address);
      const seen = { taken: 0, waiting: 0, lost: false };
      other.start({
        onTunnelData: (_pieces, byteCount) => {
          seen.waiting += byteCount;
          return "copied";
        },
        onTunnelEnd: () => undefined,
        onTunnelWritable: () => undefined,
        onTunnelLoss: () => (seen.lost = true),
      });
      other.write(Buffer.from("GET /big HTTP/1.1\r\nhost: a\r\n\r\n"));
      // It pauses again and again, so that the waypoint has to keep something for it.
      await eventually("the other caller has its answer", () => {
        const { waiting } = seen;
        seen.waiting = 0;
        seen.taken += waiting;
        other.consumed(waiting);
        return seen.lost || seen.taken > MANY_PIECES * PIECE.length;
      });
      assert.equal(seen.lost, false);
    },
    { limits: { maxKeptBytes: 4 * MANY_PIECES * PIECE.length } },
  ),
);

test("an application that reads nothing holds back the caller", limits, () =>
  withPlain(
    (socket) => void socket.pause(),
    async ({ waypoint, service, app }) => {
      const stream = await waypoint.tunnel(FRONTEND, service.address);
      let isWritable = true;
      stream.start({
        onTunnelData: () => "consumed",
        onTunnelEnd: () => undefined,
        onTunnelWritable: () => (isWritable = true),
        onTunnelLoss: () => undefined,
      });
      stream.write(Buffer.from(`POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: ${1 << 30}\r\n\r\n`));
      await eventually("the application has the connection", () => app.sockets.length === 1);
      const piece = Buffer.alloc(64 * 1024);
      let taken = 0;
      let quiet = 0;
      await eventually("nothing more is taken", () => {
        quiet = isWritable ? 0 : quiet + 1;
        while (isWritable && taken < MUCH) {
          taken += piece.length;
          isWritable = stream.write(piece) === "more";
        }
        return quiet > 50 || taken >= MUCH;
      });
      assert.ok(taken < MUCH, `${taken} bytes were taken`);
      stream.reset();
      await eventually("a line", () => waypoint.access()[0]);
    },
  ),
);

test(
  "a caller that goes in the middle of a body leaves an incomplete request, never a complete one",
  limits,
  () => {
    let seen = "";
    return withPlain(
      (socket) => socket.on("data", (chunk: Buffer) => (seen += chunk.toString("latin1"))),
      async ({ waypoint, service, app }) => {
        const caller = await waypoint.http(FRONTEND, service.address);
        caller.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        await eventually("the body", () => seen.includes("abc"));
        caller.handle.reset();
        await eventually("the end of the upstream", () => app.sockets[0]?.destroyed === true);
        assert.equal(seen.includes("\r\n0\r\n"), false);
        assert.equal((await eventually("a line", () => waypoint.access()[0]))["reason"], "caller-gone");
      },
    );
  },
);

interface Collected {
  status: number;
  fields: readonly HttpField[];
  body: string;
  trailers: readonly HttpField[];
}

/** One request over an HTTP/2 connection to the waypoint. */
function send(connection: Http2ClientConnection, given: Partial<RequestHead>, body = ""): Promise<Collected> {
  const head: RequestHead = {
    version: "2",
    method: "GET",
    target: "/",
    authority: "catalog",
    scheme: "http",
    fields: [],
    body: body === "" ? { kind: "none" } : { kind: "marked" },
    upgrade: undefined,
    expectsContinue: false,
    ...given,
  };
  return new Promise((resolve, reject) => {
    const collected: Collected = { status: 0, fields: [], body: "", trailers: [] };
    const exchange = connection.send(head, {
      onInterim: () => undefined,
      onHead: ({ status, fields }) => Object.assign(collected, { status, fields }),
      onBody: (bytes) => (collected.body += Buffer.from(bytes).toString("latin1")),
      onEnd: (trailers) => resolve({ ...collected, trailers }),
      onWritable: () => undefined,
      onFailure: (failure) => reject(new Error(failure.reason)),
    });
    if (body !== "") exchange.write(Buffer.from(body));
    exchange.end([]);
  });
}

async function withHttp2(
  work: (connection: Http2ClientConnection, waypoint: TestWaypoint, requests: string[]) => Promise<void>,
  policies = [NO_ADMIN],
): Promise<void> {
  const waypoint = await TestWaypoint.start();
  const address = waypoint.freshIp();
  const requests: string[] = [];
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    let body = "";
    stream.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    stream.on("end", () => {
      requests.push(`${headers[":method"]} ${headers[":path"]} ${body}`);
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5", "grpc-message": "gone" }));
      stream.end(`answer to ${body}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  try {
    const appPort = (server.address() as AddressInfo).port;
    const pod = await waypoint.pod("grpc", appPort, { addresses: [address] });
    const service = waypoint.bind({ name: "grpc", pods: [pod], policies, protocol: "http11" });
    const stream = await waypoint.tunnel(FRONTEND, service.address);
    const handle = new StreamHandle({ stream, local: service.address, remote: service.address });
    const events = { onIdle: () => undefined, onClose: () => undefined };
    const connection = new Http2ClientConnection(handle, { events });
    await work(connection, waypoint, requests);
    connection.destroy("the test is over");
    assert.deepEqual(waypoint.problems(), []);
  } finally {
    await waypoint.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

const GRPC: readonly HttpField[] = [
  { name: "content-type", value: "application/grpc" },
  { name: "te", value: "trailers" },
];

test("HTTP/2 stays HTTP/2 on a port that says no more than HTTP, with trailers", limits, () =>
  withHttp2(async (connection, waypoint, requests) => {
    const post = { method: "POST", target: "/shop.Items/Get", fields: GRPC };
    const [one, two] = await Promise.all([send(connection, post, "one"), send(connection, post, "two")]);
    assert.equal(one.status, 200);
    assert.equal(one.body, "answer to one");
    assert.equal(two.body, "answer to two");
    assert.deepEqual(
      one.trailers.map(({ name, value }) => `${name}: ${value}`),
      ["grpc-status: 5", "grpc-message: gone"],
    );
    assert.deepEqual(requests.toSorted(), ["POST /shop.Items/Get one", "POST /shop.Items/Get two"]);
    assert.equal(waypoint.access()[0]?.["protocol"], "HTTP/2");
    assert.match(
      await waypoint.metrics.metrics(),
      /istio_requests_total\{[^}]*request_protocol="grpc",response_code="200",grpc_response_status="5"[^}]*\} 2/,
    );
  }),
);

test(
  "every request of an HTTP/2 connection is judged by itself; gRPC is refused in its own words",
  limits,
  () =>
    withHttp2(async (connection, waypoint, requests) => {
      const [plain, grpc, fine] = await Promise.all([
        send(connection, { target: "/admin" }),
        send(connection, { method: "POST", target: "/admin.Service/Do", fields: GRPC }, "x"),
        send(connection, { target: "/items" }),
      ]);
      assert.equal(plain.status, 403);
      assert.equal(plain.body, "RBAC: access denied");
      assert.equal(grpc.status, 200);
      assert.equal(grpc.fields.find(({ name }) => name === "grpc-status")?.value, "7");
      assert.equal(fine.status, 200);
      assert.deepEqual(requests, ["GET /items "]);
      assert.equal(waypoint.access().filter((line) => line["reason"] === "denied-by-policy").length, 2);
    }),
);
