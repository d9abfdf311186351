/** What the sender of a refused request is told, as in HTTP/1. Reasons are constants: nothing of the request comes back. */
import type { Refusal } from "../http/message.ts";
import { headerField } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { lengthField, statusField } from "./message-fields.ts";

const PLAIN = headerField("content-type", "text/plain");

/** A complete answer; the rest of the request is not wanted. */
export function answerRefusal(stream: Http2Stream, { status, reason }: Refusal): void {
  stream.sendHeaders([statusField(status), PLAIN, lengthField(reason.length)]);
  stream.write(Buffer.from(reason, "latin1"));
  stream.end();
  stream.refuseRest();
}
