/** The exchange vectors of testdata: who sends what when. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Rig } from "../testing/http1-rig.ts";
import { readMessages, statusOf } from "../testing/http1-text.ts";

interface Step {
  readonly c?: string;
  readonly u?: string;
  readonly cfin?: number;
  readonly ufin?: number;
  readonly w?: number;
}

interface ExchangeVector {
  readonly id: string;
  readonly kind: "exchange";
  readonly name: string;
  readonly steps: readonly Step[];
  readonly expect: {
    readonly status: readonly number[];
    readonly mayAlso?: readonly (readonly number[])[];
    readonly bodies?: readonly string[];
    readonly upstreamRequests?: number;
    readonly upstreamBody?: string;
    readonly upstreamAborted?: boolean;
    readonly heldUntilAnswer?: string;
  };
}

const file = new URL("testdata/vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as {
  vectors: readonly { readonly kind: string }[];
};
const exchanges = vectors.filter((each): each is ExchangeVector => each.kind === "exchange");

async function step(rig: Rig, each: Step, bytewise: boolean): Promise<void> {
  const upstream = rig.upstreams.at(-1);
  const feed = async (handle: { feed(bytes: Uint8Array, size?: number): void }, text: string) => {
    handle.feed(Buffer.from(text, "latin1"), bytewise ? 1 : 65_536);
    await rig.settle();
  };
  if (each.c !== undefined) await feed(rig.caller, each.c);
  if (each.u !== undefined && upstream !== undefined) await feed(upstream.handle, each.u);
  if (each.cfin !== undefined) rig.caller.end();
  if (each.ufin !== undefined) upstream?.handle.end();
  await rig.settle();
}

for (const vector of exchanges) {
  for (const bytewise of [false, true]) {
    test(`${vector.id} ${vector.name}${bytewise ? ": byte by byte" : ""}`, async () => {
      const rig = new Rig();
      for (const each of vector.steps) {
        const { heldUntilAnswer } = vector.expect;
        const isHeld = heldUntilAnswer !== undefined && !rig.answered.includes("HTTP/1.1");
        if (isHeld && rig.upstreams.length > 0)
          assert.ok(!rig.upstreams.some((up) => up.received.includes(heldUntilAnswer)));
        await step(rig, each, bytewise);
      }
      check(rig, vector);
    });
  }
}

function check(rig: Rig, { expect }: ExchangeVector): void {
  const answers = rig.answers().filter((each) => statusOf(each) >= 200);
  const statuses = answers.map(statusOf);
  const allowed = [expect.status, ...(expect.mayAlso ?? [])];
  assert.ok(
    allowed.some((each) => each.join() === statuses.join()),
    `answered ${statuses.join(" ")}`,
  );
  if (expect.bodies !== undefined)
    assert.deepEqual(
      answers.map((each) => each.body),
      expect.bodies,
    );
  checkUpstream(rig, expect);
}

function checkUpstream(rig: Rig, expect: ExchangeVector["expect"]): void {
  const heads = rig.upstreams.flatMap((each) => each.received.match(/^[A-Z]+ \S+ HTTP\/1\.1$/gm) ?? []);
  if (expect.upstreamRequests !== undefined)
    assert.equal(heads.length, expect.upstreamRequests, heads.join());
  if (expect.upstreamBody !== undefined) assert.equal(rig.requests[0]?.body, expect.upstreamBody);
  if (expect.upstreamAborted !== true) return;
  for (const upstream of rig.upstreams) {
    assert.equal(readMessages(upstream.received).messages.length, 0, "never complete");
    assert.ok(upstream.handle.closed, "its connection is cut");
  }
}

test("all exchange vectors were played", () => assert.equal(exchanges.length, 7));
