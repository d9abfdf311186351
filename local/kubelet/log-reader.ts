/** Sends a container's log file: from the end by lines, by bytes, or as it grows. Containers write the file themselves. */
import { open } from "node:fs/promises";
import type { ServerResponse } from "node:http";

export interface LogRequest {
  readonly path: string;
  readonly follow: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  /** False once the container has ended: then following ends at the end of the file. */
  readonly stillWritten: () => boolean;
}

const CHUNK = 65_536;
const POLL_MS = 200;

export async function sendLog(response: ServerResponse, request: LogRequest): Promise<void> {
  const file = await open(request.path, "r").catch(() => undefined);
  response.writeHead(200, { "content-type": "text/plain" });
  if (file === undefined) {
    response.end();
    return;
  }
  try {
    const { size } = await file.stat();
    let position = request.tailLines === undefined ? 0 : await tailStart(file, size, request.tailLines);
    // What is written meanwhile belongs to those who follow: the last line of a busy log is one line.
    const there = request.follow ? Number.POSITIVE_INFINITY : size - position;
    let left = Math.min(there, request.limitBytes ?? Number.POSITIVE_INFINITY);
    const buffer = Buffer.alloc(CHUNK);
    while (left > 0 && !response.destroyed) {
      const last = !request.stillWritten();
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, left), position);
      position += bytesRead;
      left -= bytesRead;
      if (bytesRead > 0 && !response.write(Buffer.from(buffer.subarray(0, bytesRead))))
        await drained(response);
      if (bytesRead > 0) continue;
      if (!request.follow || last) break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    await file.close();
    response.end();
  }
}

type File = Awaited<ReturnType<typeof open>>;

/** Offset of the line that is `lines` lines before the end. */
async function tailStart(file: File, size: number, lines: number): Promise<number> {
  if (lines === 0) return size;
  let found = 0;
  const buffer = Buffer.alloc(CHUNK);
  for (let end = size; end > 0; end -= Math.min(CHUNK, end)) {
    const start = Math.max(0, end - CHUNK);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      const closesFile = start + i === size - 1;
      if (buffer[i] === 10 && !closesFile && ++found === lines) return start + i + 1;
    }
  }
  return 0;
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      response.off("drain", end);
      response.off("close", end);
      resolve();
    };
    response.on("drain", end);
    response.on("close", end);
  });
}
