/** What hands do in pods with HBONE ports, under whatever certificate (sent as text, see `hands.ts`). */
import type { Hands } from "./hands.ts";

export interface TlsCredentials {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Speaks to an HBONE port: `refused CODE` when no HTTP/2 frame came back, else the status of a CONNECT to `authority`
 * (`violation CODE` when the stream was reset instead).
 */
export function knock(
  world: Hands,
  target: { readonly host: string; readonly port: number; readonly authority: string },
  credentials: TlsCredentials,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = world.tls.connect({
      host: target.host,
      port: target.port,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...credentials,
    });
    socket.setTimeout(8_000, () => socket.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
    const done = (text: string): void => {
      resolve(text);
      socket.destroy();
    };
    socket.on("error", (error: NodeJS.ErrnoException) => done(`refused ${error.code ?? error.message}`));
    socket.on("close", () => done("refused CLOSED"));
    socket.on("secureConnect", () => {
      const session = world.http2.connect("https://hbone", { createConnection: () => socket });
      session.on("error", (error: NodeJS.ErrnoException) => done(`refused ${error.code ?? error.message}`));
      session.on("remoteSettings", () => {
        const stream = session.request({ ":method": "CONNECT", ":authority": target.authority });
        stream.on("response", (headers) => done(String(headers[":status"])));
        stream.on("error", (error: NodeJS.ErrnoException) =>
          done(`violation ${error.code ?? error.message}`),
        );
      });
    });
  });
}

export interface TunnelWish {
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  /** Beside the CONNECT. */
  readonly headers: Readonly<Record<string, string>>;
  /** Said inside of the tunnel. */
  readonly text: string;
}

/** Opens a tunnel and speaks inside of it: `status|what came back until its end`. */
export function tunnelled(world: Hands, wish: TunnelWish, credentials: TlsCredentials): Promise<string> {
  return new Promise((resolve) => {
    const socket = world.tls.connect({
      host: wish.host,
      port: wish.port,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...credentials,
    });
    let heard = "";
    const done = (end: string): void => {
      resolve(`${heard}${end}`);
      socket.destroy();
    };
    socket.setTimeout(8_000, () => done("|timeout"));
    socket.on("error", (error: NodeJS.ErrnoException) => done(`|${error.code ?? error.message}`));
    socket.on("secureConnect", () => {
      const session = world.http2.connect("https://hbone", { createConnection: () => socket });
      session.on("error", (error: NodeJS.ErrnoException) => done(`|${error.code ?? error.message}`));
      const stream = session.request(
        { ":method": "CONNECT", ":authority": wish.authority, ...wish.headers },
        { endStream: false },
      );
      stream.on("response", (headers) => {
        heard += `${headers[":status"]}|`;
        stream.write(wish.text);
      });
      stream.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")));
      stream.on("end", () => done(""));
      stream.on("error", (error: NodeJS.ErrnoException) => done(`|${error.code ?? error.message}`));
    });
  });
}
