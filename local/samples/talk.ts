/**
 * What is spoken over HTTP beside plain requests, for trying: HTTP/1.1 and WebSocket (each message comes back) on PORT, HTTP/2 in clear
 * on H2_PORT, gRPC on GRPC_PORT. Everything that arrives is a line of the log, and so is the end of what goes on.
 */
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import { WebSocketServer } from "ws";
import { EnvReader } from "#core/runtime/env.ts";
import { TALK } from "./talk-client.ts";

const env = new EnvReader();
const port = env.port("PORT", { default: 8080, help: "port of HTTP/1.1 and WebSocket" });
const h2Port = env.port("H2_PORT", { default: 8081, help: "port of HTTP/2 in clear" });
const grpcPort = env.port("GRPC_PORT", { default: 9000, help: "port of gRPC" });

function note(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function noteRequest(protocol: string, { method, url, headers, socket }: IncomingMessage): void {
  const fields = Object.keys(headers).filter((name) => !name.startsWith(":"));
  note({ protocol, method, path: url, client: socket.remoteAddress, id: headers["x-request-id"], fields });
}

const plain = createServer((request, response) => {
  if (request.url !== "/ready") noteRequest("http1", request);
  request.resume();
  response.end("plain\n");
});
const sockets = new WebSocketServer({ server: plain });
sockets.on("connection", (socket, request) => {
  noteRequest("websocket", request);
  socket.on("message", (bytes, binary) => socket.send(bytes, { binary }));
  socket.on("error", () => socket.terminate());
  socket.on("close", () => note({ over: request.url }));
});
plain.listen({ port, host: "::" });

const h2 = createHttp2Server((request, response) => {
  const { method, url, headers, socket } = request;
  note({ protocol: "http2", method, path: url, client: socket.remoteAddress, id: headers["x-request-id"] });
  request.resume();
  response.end("two\n");
});
h2.listen({ port: h2Port, host: "::" });

type Call = ServerUnaryCall<string, string> | ServerWritableStream<string, string>;

function noteCall(call: Call): void {
  const client = call
    .getPeer()
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "");
  const [id] = call.metadata.get("x-request-id");
  note({ protocol: "grpc", method: "POST", path: call.getPath(), client, id });
}

/** `missing` fails before the first byte of an answer: status and headers are one. */
function say(call: ServerUnaryCall<string, string>, reply: sendUnaryData<string>): void {
  noteCall(call);
  if (call.request === "missing") reply({ code: status.NOT_FOUND, details: "nobody said that" });
  else reply(null, `you said ${call.request}`);
}

function watch(call: ServerWritableStream<string, string>): void {
  noteCall(call);
  const { count, everyMs } = JSON.parse(call.request) as { count: number; everyMs: number };
  let sent = 0;
  const timer = setInterval(() => {
    call.write(String(++sent));
    if (sent < count) return;
    clearInterval(timer);
    call.end();
  }, everyMs);
  call.on("cancelled", () => {
    clearInterval(timer);
    note({ over: call.getPath() });
  });
}

const grpc = new Server();
grpc.addService(TALK, { say, watch });
grpc.bindAsync(`[::]:${grpcPort}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
process.on("SIGTERM", () => process.exit(0));
