/** Vectors with octets changed at random: whatever comes of it, it comes of it in any pieces, and what comes through keeps the rules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isAuthority } from "../http/authority.ts";
import { data, headers, literal, PREFACE, settings, summary } from "../testing/frames.ts";
import { vectors } from "../testing/http2-vectors.ts";
import { rawRequestServer, type SeenRequest } from "../testing/request-server.ts";

const requests = vectors.flatMap(({ fields, data: body = "x" }) =>
  fields === undefined
    ? []
    : [
        Buffer.concat([
          headers(1, Buffer.concat(fields.map(([name, value]) => literal(name, value)))),
          data(1, Buffer.from(body, "latin1"), 1),
        ]),
      ],
);
const HELLO = Buffer.concat([PREFACE, settings()]);

const change = fc.record({
  at: fc.nat(400),
  to: fc.oneof(fc.nat(255), fc.constantFrom(0, 9, 10, 13, 32, 35, 45, 47, 58, 64, 95, 127)),
});

interface Outcome {
  readonly seen: readonly SeenRequest[];
  readonly text: string;
}

async function run(bytes: Buffer, pieceBytes: number): Promise<Outcome> {
  const server = rawRequestServer();
  server.handle.feed(bytes, pieceBytes);
  const seen = server.seen.map(({ exchange, end, body, trailers }) => ({
    head: exchange.head,
    end,
    // How much of what is broken off came through depends on the pieces.
    body: end === "complete" ? body : "",
    trailers,
  }));
  const text = JSON.stringify([seen, server.refused, summary(await server.frames())]);
  server.handle.drop();
  return { seen: server.seen, text };
}

function checkKept({ exchange, end, body }: SeenRequest): void {
  const { head } = exchange;
  assert.match(head.method, /^[A-Z][A-Z-]{0,31}$/);
  assert.ok(!["CONNECT", "TRACE"].includes(head.method));
  assert.match(head.target, /^(\/[!"$-~]*|\*)$/);
  assert.ok(isAuthority(head.authority));
  for (const { name, value } of head.fields) {
    assert.match(name, /^[!#$%&'*+\-.^_`|~0-9a-z]+$/);
    assert.match(value, /^([!-~\u0080-\u00ff]([\t -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?)?$/);
    assert.doesNotMatch(
      name,
      /^(host|connection|keep-alive|proxy-connection|proxy-authorization|transfer-encoding|content-length|upgrade|http2-settings|expect)$/,
    );
  }
  if (head.body.kind !== "length" || end !== "complete") return;
  assert.equal(body.length, head.body.bytes);
}

test("changed requests: one verdict in any pieces, and only requests that keep the rules come through", async () => {
  let throughCount = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...requests),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 40 }),
      async (original, changes, pieceBytes) => {
        const changed = Buffer.from(original);
        for (const { at, to } of changes) changed[at % changed.length] = to;
        const bytes = Buffer.concat([HELLO, changed]);
        const whole = await run(bytes, bytes.length);
        const again = await run(bytes, pieceBytes);
        assert.equal(again.text, whole.text);
        for (const request of whole.seen) checkKept(request);
        throughCount += whole.seen.length;
      },
    ),
    { numRuns: 6_000 },
  );
  assert.ok(throughCount > 50, `${throughCount} came through`);
});
