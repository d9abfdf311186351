/** HTTP/1.1 as the other side sees it, read naively and by nobody's rules but the RFC's plainest: an oracle for what an engine wrote. */

export interface SeenMessage {
  readonly startLine: string;
  /** Lines as written. */
  readonly lines: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly trailers: readonly string[];
}

export interface Seen {
  readonly messages: readonly SeenMessage[];
  /** What is left: an incomplete message, or nothing. */
  readonly rest: string;
}

/** `ended`: the connection's end may end a body. `bodiless`: does the answer of this number have no body (HEAD)? */
export function readMessages(
  text: string,
  options: { readonly ended?: boolean; readonly bodiless?: (index: number) => boolean } = {},
): Seen {
  const messages: SeenMessage[] = [];
  let rest = text;
  let finals = 0;
  for (;;) {
    const bodiless = options.bodiless?.(finals) ?? false;
    const next = readMessage(rest, options.ended ?? false, bodiless);
    if (next === undefined) return { messages, rest };
    messages.push(next.message);
    if (!/^HTTP\/1\.1 1\d\d/.test(next.message.startLine)) finals++;
    rest = next.rest;
  }
}

export function valueOf(message: SeenMessage, name: string): string | undefined {
  return message.lines.find(([each]) => each.toLowerCase() === name)?.[1];
}

export function statusOf(message: SeenMessage): number {
  return Number(message.startLine.split(" ")[1]);
}

function readMessage(
  text: string,
  ended: boolean,
  bodiless: boolean,
): { readonly message: SeenMessage; readonly rest: string } | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [startLine = "", ...fieldLines] = text.slice(0, headEnd).split("\r\n");
  const lines = fieldLines.map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)] as const;
  });
  const head = { startLine, lines };
  const behind = text.slice(headEnd + 4);
  const body = readBody(head, behind, ended, bodiless);
  if (body === undefined) return undefined;
  return { message: { ...head, body: body.body, trailers: body.trailers }, rest: body.rest };
}

interface SeenBody {
  readonly body: string;
  readonly trailers: readonly string[];
  readonly rest: string;
}

function readBody(
  head: Pick<SeenMessage, "startLine" | "lines">,
  behind: string,
  ended: boolean,
  bodiless: boolean,
): SeenBody | undefined {
  const field = (name: string): string | undefined => head.lines.find(([each]) => each === name)?.[1];
  const isAnswer = head.startLine.startsWith("HTTP/");
  if (bodiless || (isAnswer && / (?:1\d\d|204|304) /.test(head.startLine)))
    return { body: "", trailers: [], rest: behind };
  if (field("transfer-encoding") === "chunked") return readChunks(behind);
  const length = field("content-length");
  if (length !== undefined) {
    const size = Number(length);
    if (behind.length < size) return undefined;
    return { body: behind.slice(0, size), trailers: [], rest: behind.slice(size) };
  }
  if (!isAnswer) return { body: "", trailers: [], rest: behind };
  return ended ? { body: behind, trailers: [], rest: "" } : undefined;
}

function readChunks(text: string): SeenBody | undefined {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
  }
  const end = text.startsWith("\r\n", at) ? at : text.indexOf("\r\n\r\n", at);
  if (end < 0) return undefined;
  const trailers = end === at ? [] : text.slice(at, end).split("\r\n");
  return { body, trailers, rest: text.slice(end === at ? at + 2 : end + 4) };
}
