/**
 * HOT PATH, pure. Heads as text, always written anew: lower-case names, one blank, decimal length, nothing of the other side's connection. A body of
 * unknown length is chunked; `framing` says so to whoever writes it.
 */
import type { BodyFraming, HttpField, RequestHead, ResponseHead } from "../http/message.ts";

/** How the body behind a head is written. */
export type WireFraming = "none" | "length" | "chunked" | "raw";

export function requestText(head: RequestHead): string {
  let text = `${head.method} ${head.target} HTTP/1.1\r\nhost: ${head.authority}\r\n`;
  text += fieldsText(head.fields);
  text += framingText(head.body);
  if (head.expectsContinue) text += "expect: 100-continue\r\n";
  if (head.upgrade !== undefined) text += UPGRADE;
  return `${text}\r\n`;
}

export function requestFraming(body: BodyFraming): WireFraming {
  switch (body.kind) {
    case "length":
      return "length";
    case "marked":
    case "until-close":
      return "chunked";
    case "none":
    case "tunnel":
      return "none";
  }
}

/** What decides how an answer is written, besides its head. */
export interface AnswerContext {
  readonly version: RequestHead["version"];
  readonly isHead: boolean;
  /** `connection: close`. */
  readonly closes: boolean;
}

export function answerFraming(head: ResponseHead, context: AnswerContext): WireFraming {
  if (context.isHead || head.status === 204 || head.status === 304) return "none";
  switch (head.body.kind) {
    case "none":
      return "none";
    case "length":
      return "length";
    case "marked":
    case "until-close":
      // RFC 9112 7.1: nobody who speaks 1.0 knows chunks. The end of the connection is the end of the body.
      return context.version === "1.0" ? "raw" : "chunked";
    case "tunnel":
      return "raw";
  }
}

export function answerText(head: ResponseHead, framing: WireFraming, context: AnswerContext): string {
  let text = statusLine(head.status) + fieldsText(head.fields);
  if (head.status === 101) return `${text}${UPGRADE}\r\n`;
  if (framing === "chunked") text += CHUNKED;
  else if (framing === "length") text += framingText(head.body);
  else if (framing === "none" && saysEmpty(head, context)) text += "content-length: 0\r\n";
  if (context.closes) text += "connection: close\r\n";
  return `${text}\r\n`;
}

export function interimText(head: ResponseHead): string {
  return `${statusLine(head.status)}${fieldsText(head.fields)}\r\n`;
}

/** Behind the last chunk. */
export function trailersText(trailers: readonly HttpField[]): string {
  return trailers.length === 0 ? "0\r\n\r\n" : `0\r\n${fieldsText(trailers)}\r\n`;
}

/** An empty answer must say so, unless its status or the request's method says it already. */
function saysEmpty(head: ResponseHead, context: AnswerContext): boolean {
  return !context.isHead && head.status !== 204 && head.status !== 304;
}

function fieldsText(fields: readonly HttpField[]): string {
  let text = "";
  for (const { name, value } of fields) text += `${name}: ${value}\r\n`;
  return text;
}

function framingText(body: BodyFraming): string {
  if (body.kind === "length") return `content-length: ${body.bytes}\r\n`;
  return body.kind === "marked" || body.kind === "until-close" ? CHUNKED : "";
}

function statusLine(status: number): string {
  return (STATUS_LINES[status] ??= `HTTP/1.1 ${status} ${PHRASES.get(status) ?? ""}\r\n`);
}

const CHUNKED = "transfer-encoding: chunked\r\n";
const UPGRADE = "connection: upgrade\r\nupgrade: websocket\r\n";
const STATUS_LINES: string[] = [];
/** RFC 9110 15 and those in daily use; a phrase means nothing, and upstream's own is not passed on. */
const PHRASES: ReadonlyMap<number, string> = new Map([
  [100, "Continue"],
  [101, "Switching Protocols"],
  [102, "Processing"],
  [103, "Early Hints"],
  [200, "OK"],
  [201, "Created"],
  [202, "Accepted"],
  [203, "Non-Authoritative Information"],
  [204, "No Content"],
  [205, "Reset Content"],
  [206, "Partial Content"],
  [207, "Multi-Status"],
  [300, "Multiple Choices"],
  [301, "Moved Permanently"],
  [302, "Found"],
  [303, "See Other"],
  [304, "Not Modified"],
  [307, "Temporary Redirect"],
  [308, "Permanent Redirect"],
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [402, "Payment Required"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [406, "Not Acceptable"],
  [408, "Request Timeout"],
  [409, "Conflict"],
  [410, "Gone"],
  [411, "Length Required"],
  [412, "Precondition Failed"],
  [413, "Content Too Large"],
  [414, "URI Too Long"],
  [415, "Unsupported Media Type"],
  [416, "Range Not Satisfiable"],
  [417, "Expectation Failed"],
  [421, "Misdirected Request"],
  [422, "Unprocessable Content"],
  [423, "Locked"],
  [425, "Too Early"],
  [426, "Upgrade Required"],
  [428, "Precondition Required"],
  [429, "Too Many Requests"],
  [431, "Request Header Fields Too Large"],
  [451, "Unavailable For Legal Reasons"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
  [505, "HTTP Version Not Supported"],
]);
