/** Operator ports: what a web page or a stray process could send is refused. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { type Endpoint, listenEndpoint } from "./http-endpoint.ts";

let endpoint: Endpoint;
let quits = 0;
before(async () => {
  endpoint = await listenEndpoint({
    port: 0,
    host: "127.0.0.1",
    routes: {
      "GET /state": () => ({ status: 200, body: "state" }),
      "GET /broken": () => {
        throw new Error("no state yet");
      },
      "POST /quit": () => {
        quits++;
        return { status: 200, body: "bye" };
      },
    },
  });
});
after(() => endpoint.close());

const call = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${endpoint.port}${path}`, init);

test("a request from a web page is refused, whatever it asks for", async () => {
  const headers = { origin: "http://evil.example" };
  assert.equal((await call("/quit", { method: "POST", headers })).status, 403);
  assert.equal((await call("/state", { headers })).status, 403);
  assert.equal(quits, 0);
});

test("a change needs POST, and reading is not POST", async () => {
  assert.equal((await call("/quit")).status, 405);
  assert.equal((await call("/state", { method: "POST" })).status, 405);
  assert.equal((await call("/state", { method: "DELETE" })).status, 405);
  assert.equal(quits, 0);
});

test("unknown paths and no requests at all disturb nobody", async () => {
  assert.equal((await call("/state/../quit2")).status, 404);
  assert.equal((await call("/__proto__")).status, 404);
  for (const bytes of ["\0\0\0", "GET\r\n\r\n", "GET //[ HTTP/1.1\r\nhost: x\r\n\r\n"]) {
    await new Promise<void>((resolve) => {
      const socket = connect(endpoint.port, "127.0.0.1", () => socket.end(bytes));
      socket.on("error", () => undefined).on("close", () => resolve());
      socket.resume();
    });
  }
  assert.equal(await (await call("/state")).text(), "state");
});

test("a handler that fails is 500 with its sentence", async () => {
  const answer = await call("/broken");
  assert.deepEqual([answer.status, await answer.text()], [500, "no state yet\n"]);
});

test("a port on loopback is on loopback alone", async () => {
  const reached = await new Promise<boolean>((resolve) => {
    const socket = connect(endpoint.port, "::1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
  assert.equal(reached, false);
});

test("the right requests are answered", async () => {
  assert.equal((await call("/quit", { method: "POST" })).status, 200);
  assert.equal(quits, 1);
});
