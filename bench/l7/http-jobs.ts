/** What the HTTP load is told (one JSON argument). It answers in the messages of `load/messages.ts`. */

/** Where the load speaks: TLS to an ordinary proxy, a tunnel to a waypoint. */
export type Transport =
  | {
      readonly kind: "tls";
      readonly ip: string;
      readonly port: number;
      readonly caPath: string;
      readonly certificatePath: string;
      readonly keyPath: string;
      readonly serverName: string;
    }
  | {
      readonly kind: "hbone";
      readonly ip: string;
      readonly port: number;
      /** Identity of whoever answers there. */
      readonly expected: string;
      /** `:authority` of the CONNECT: the destination's address and port. */
      readonly authority: string;
      /** Folder with the mesh's root and its key. */
      readonly caDirectory: string;
    };

export interface HttpJob {
  readonly kind: "http";
  readonly transport: Transport;
  readonly version: "1.1" | "2";
  readonly connections: number;
  /** Requests at once on each connection; 1 for HTTP/1.1. */
  readonly streams: number;
  /** Header fields of each request. */
  readonly fields: 4 | 20;
  /** Requests a second over all connections; 0: as fast as answers come. */
  readonly rate: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}
