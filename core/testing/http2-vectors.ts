/** The vectors of HTTP/2 (`core/http2/testdata/vectors.json`, which has their format) as bytes. */
import { readFileSync } from "node:fs";
import { data, headers, literal, PREFACE, rst, settings } from "./frames.ts";

type Fields = readonly (readonly [string, string])[];

export interface UpstreamRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly hostIn?: readonly string[];
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly absent?: readonly string[];
  readonly noTrailer?: string;
}

export interface Expected {
  readonly verdict: "forward" | "reset" | "goaway" | "reset-or-goaway";
  readonly status?: readonly number[];
  readonly codes?: readonly number[];
  readonly upstream?: readonly UpstreamRequest[];
  readonly upstreamMax?: number;
  readonly or?: Expected;
}

type FramePart =
  | string
  | { readonly repeat: string; readonly count: number }
  | { readonly resetStreams: number; readonly block: string };

export interface Vector {
  readonly id: string;
  readonly kind: "h2-request" | "h2-frames";
  readonly name: string;
  readonly fields?: Fields;
  readonly data?: string;
  readonly trailers?: Fields;
  readonly frames?: readonly FramePart[];
  readonly expect: Expected;
}

const file = new URL("../http2/testdata/vectors.json", import.meta.url);
export const { vectors } = JSON.parse(readFileSync(file, "utf8")) as { readonly vectors: readonly Vector[] };

function block(fields: Fields): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

function requestBytes({ fields = [], data: body, trailers }: Vector): Buffer {
  const parts = [headers(1, block(fields), body === undefined && trailers === undefined ? 5 : 4)];
  if (body !== undefined) parts.push(data(1, Buffer.from(body, "latin1"), trailers === undefined ? 1 : 0));
  if (trailers !== undefined) parts.push(headers(1, block(trailers), 5));
  return Buffer.concat(parts);
}

function frameBytes(part: FramePart): Buffer {
  if (typeof part === "string") return Buffer.from(part, "base64");
  if ("repeat" in part) {
    const once = Buffer.from(part.repeat, "base64");
    return Buffer.concat(Array.from({ length: part.count }, () => once));
  }
  const head = Buffer.from(part.block, "base64");
  const streams = Array.from({ length: part.resetStreams }, (_, i) =>
    Buffer.concat([headers(2 * i + 1, head, 5), rst(2 * i + 1)]),
  );
  return Buffer.concat(streams);
}

/** All that the caller sends. */
export function bytesOf(vector: Vector): Buffer {
  const body =
    vector.kind === "h2-request"
      ? requestBytes(vector)
      : Buffer.concat((vector.frames ?? []).map(frameBytes));
  return Buffer.concat([PREFACE, settings(), body]);
}
