/**
 * The tables against another implementation: real HTTP/2 bytes to and from node:http2 (nghttp2) over loopback.
 * Each side's table decides what the other's indexes mean, so one wrong eviction breaks every later block.
 */
import assert from "node:assert/strict";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import test from "node:test";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { headerField, type HeaderField } from "./header-field.ts";

const REQUESTS = 150;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS = 1;
const SETTINGS = 4;
const ACK = 1;

/** A deterministic mixture: repeated, unique, long, sensitive, non-ASCII. */
function regularFields(i: number): HeaderField[] {
  return [
    headerField("x-constant", "the same"),
    headerField("x-counter", String(i)),
    headerField(`x-name-${i % 17}`, `value ${i % 5}`),
    headerField("x-long", "l".repeat((i * 37) % 1_500)),
    headerField("x-latin", "caf\u00e9 \u00ff"),
    headerField("authorization", `Bearer ${i}`, true),
    headerField("user-agent", "ambit/1"),
  ];
}

const asObject = (fields: readonly HeaderField[]): Record<string, string> =>
  Object.fromEntries(fields.map((f) => [f.name, f.value]));

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** Calls back with each complete frame of a byte stream. */
function frameReader(
  onFrame: (type: number, flags: number, id: number, payload: Buffer) => void,
): (b: Buffer) => void {
  let kept = Buffer.alloc(0);
  return (bytes) => {
    kept = Buffer.concat([kept, bytes]);
    while (kept.length >= 9 && kept.length >= 9 + kept.readUIntBE(0, 3)) {
      const end = 9 + kept.readUIntBE(0, 3);
      onFrame(kept[3] ?? 0, kept[4] ?? 0, kept.readUInt32BE(5), kept.subarray(9, end));
      kept = kept.subarray(end);
    }
  };
}

for (const headerTableSize of [0, 128, 1_000, 4_096, 65_536]) {
  for (const huffman of [false, true]) {
    test(
      `node:http2 with a table of ${headerTableSize} reads our blocks, Huffman ${huffman}`,
      { timeout: 30_000 },
      async () => {
        const seen: Record<string, unknown>[] = [];
        const server = http2.createServer({ settings: { headerTableSize } });
        const sessionErrors: Error[] = [];
        server.on("sessionError", (error) => sessionErrors.push(error));
        server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
          stream.on("error", (error) => sessionErrors.push(error));
          seen.push(Object.fromEntries(Object.entries(headers)));
          stream.respond(
            { ":status": 200, "x-answer": String(seen.length), "x-constant": "same", vary: "a, b" },
            { endStream: true },
          );
        });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const socket = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
        const encoder = new HpackEncoder({ huffman });
        const decoder = new HpackDecoder();
        const answers: string[] = [];
        await new Promise<void>((resolve, reject) => {
          socket.on("error", reject).on("close", () => reject(new Error(`closed: ${sessionErrors.join()}`)));
          const send = (i: number): void => {
            const pseudo = [
              [":method", "GET"],
              [":scheme", "http"],
              [":path", `/p/${i % 7}`],
              [":authority", "a.test"],
            ] as const;
            const fields = [...pseudo.map(([n, v]) => headerField(n, v)), ...regularFields(i)];
            socket.write(frame(HEADERS, 0x05, 1 + 2 * i, encoder.encode(fields)));
          };
          socket.write(PREFACE);
          socket.write(frame(SETTINGS, 0, 0, new Uint8Array(0)));
          socket.on(
            "data",
            frameReader((type, flags, _id, payload) => {
              if (type === SETTINGS && (flags & ACK) === 0) {
                encoder.limitTable(headerTableSize);
                socket.write(frame(SETTINGS, ACK, 0, new Uint8Array(0)));
                send(0);
              }
              if (type !== HEADERS) return;
              const block = decoder.decode(payload);
              if (block.kind !== "headers") return reject(new Error(block.kind));
              answers.push(asObject(block.fields)["x-answer"] ?? "");
              if (answers.length === REQUESTS) return resolve();
              send(answers.length);
            }),
          );
        });
        socket.removeAllListeners("close").destroy();
        server.close();
        assert.deepEqual(
          answers,
          Array.from({ length: REQUESTS }, (_, i) => String(i + 1)),
        );
        assert.deepEqual(sessionErrors, []);
        for (const [i, headers] of seen.entries())
          for (const [name, value] of Object.entries(asObject(regularFields(i))))
            assert.equal(headers[name], value, `request ${i}`);
      },
    );
  }
}

for (const announced of [0, 200, 4_096, 40_000]) {
  test(
    `we read node:http2's requests, having announced a table of ${announced}`,
    { timeout: 30_000 },
    async () => {
      const decoder = new HpackDecoder();
      const encoder = new HpackEncoder();
      const seen: Record<string, string>[] = [];
      const failures: string[] = [];
      const server = net.createServer((socket) => {
        let preface = PREFACE.length;
        const payload = Buffer.alloc(6);
        payload.writeUInt16BE(1, 0);
        payload.writeUInt32BE(announced, 2);
        socket.write(frame(SETTINGS, 0, 0, payload));
        const read = frameReader((type, flags, id, bytes) => {
          if (type === SETTINGS && (flags & ACK) === 0)
            socket.write(frame(SETTINGS, ACK, 0, new Uint8Array(0)));
          if (type === SETTINGS && (flags & ACK) !== 0) decoder.limitTable(announced);
          if (type !== HEADERS) return;
          // Priority fields come before the block when the flag is set.
          const block = decoder.decode((flags & 0x20) === 0 ? bytes : bytes.subarray(5));
          if (block.kind !== "headers") failures.push(block.kind === "malformed" ? block.reason : block.kind);
          else seen.push(asObject(block.fields));
          socket.write(
            frame(
              HEADERS,
              0x05,
              id,
              encoder.encode([headerField(":status", "200"), headerField("x-i", String(id))]),
            ),
          );
        });
        socket.on("error", () => undefined);
        socket.on("data", (bytes: Buffer) => {
          const skipped = Math.min(preface, bytes.length);
          preface -= skipped;
          read(bytes.subarray(skipped));
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      await new Promise((resolve) => client.once("remoteSettings", resolve));
      for (let i = 0; i < REQUESTS; i++) {
        const headers = {
          ":path": `/p/${i % 7}`,
          ...asObject(regularFields(i)),
          [http2.sensitiveHeaders]: ["authorization"],
        };
        const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
          client
            .request(headers)
            .on("response", (h) => resolve({ ...h }))
            .on("error", reject)
            .resume()
            .end();
        });
        assert.equal(answer["x-i"], String(1 + 2 * i));
      }
      client.destroy();
      server.close();
      assert.deepEqual(failures, []);
      assert.equal(seen.length, REQUESTS);
      for (const [i, headers] of seen.entries())
        for (const [name, value] of Object.entries(asObject(regularFields(i))))
          assert.equal(headers[name], value, `request ${i}`);
    },
  );
}
