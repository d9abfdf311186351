/**
 * HOT PATH. HTTP connections to one endpoint for one caller's identity. Whoever wants one gets a free one at once, or the next that is dialled.
 * A connection that began to authenticate its user (NTLM, Negotiate) belongs to one caller's connection from then on.
 */
import type { ClientConnection, ClientConnectionEvents } from "#core/http/exchange.ts";
import type { Handle } from "#core/handle/handle.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { HttpProtocol } from "../http/engines.ts";
import type { Reason } from "../http/reasons.ts";
import { dialReason } from "./dial-reason.ts";

/** Connections to one endpoint for one identity; beyond it requests are refused. */
const MAX_CONNECTIONS = 1_024;
/** In looks of the pool: a connection that nobody used for so long is closed, one of this age is used no more. */
const IDLE_LOOKS = 12;
const OLD_LOOKS = 720;

/** One caller's connection: connections to upstreams that are its own end with it. */
export interface LaneOwner {
  readonly pinned: Set<PooledConnection>;
}

export interface LaneUser {
  readonly owner: LaneOwner;
  /** It cannot be sent again if the connection turns out to be dead: none that has been idle for long will do. */
  readonly needsFresh: boolean;
  /** It has ended meanwhile and wants nothing. */
  readonly isOver: boolean;
  onConnection(connection: PooledConnection): void;
  onNoConnection(reason: Reason, error: string): void;
}

export interface LaneParts {
  readonly protocol: HttpProtocol;
  readonly dial: () => Promise<Handle>;
  readonly connect: (handle: Handle, events: ClientConnectionEvents) => ClientConnection;
  readonly onEmpty: () => void;
}

export class PooledConnection implements ClientConnectionEvents {
  readonly connection: ClientConnection;
  readonly #lane: UpstreamLane;
  readonly #handle: Handle;
  owner: LaneOwner | undefined;
  /** It has carried a request before. */
  wasUsed = false;
  users = 0;
  isListed = false;
  idleLooks = 0;
  looks = 0;

  constructor(lane: UpstreamLane, handle: Handle, connect: LaneParts["connect"]) {
    this.#lane = lane;
    this.#handle = handle;
    this.connection = connect(handle, this);
  }

  get lane(): UpstreamLane {
    return this.#lane;
  }

  /** It takes no further request: it is old, or its own end or that of its tunnel is near. */
  get isLeaving(): boolean {
    return !this.connection.usable || this.looks > OLD_LOOKS || this.#handle.isLeaving === true;
  }

  /** From now on it carries requests of `owner` alone. */
  pinTo(owner: LaneOwner): void {
    if (this.owner !== undefined) return;
    this.owner = owner;
    owner.pinned.add(this);
  }

  /** Its user is done with it. */
  release(): void {
    this.users--;
    this.wasUsed = true;
    this.idleLooks = 0;
    if (this.connection.capacity > 0) this.#lane.onFree(this);
  }

  onIdle(): void {
    this.#lane.onFree(this);
  }

  onClose(): void {
    this.owner?.pinned.delete(this);
    this.#lane.onClosed(this);
  }
}

export class UpstreamLane {
  readonly #parts: LaneParts;
  readonly #all = new Set<PooledConnection>();
  /** Of those that are free, the last used is the last. */
  readonly #free: PooledConnection[] = [];
  readonly #waiting: LaneUser[] = [];
  #dialling = 0;
  /** The pool has forgotten it. */
  isGone = false;

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  take(user: LaneUser): void {
    const connection = this.#freeFor(user);
    if (connection !== undefined) {
      give(connection, user);
      return;
    }
    if (this.#all.size + this.#dialling >= MAX_CONNECTIONS) {
      user.onNoConnection("upstream-overflow", "too many connections to the endpoint");
      return;
    }
    this.#waiting.push(user);
    this.#dialWhatIsMissing();
  }

  onFree(connection: PooledConnection): void {
    if (connection.isLeaving) {
      this.#retire(connection);
      return;
    }
    if (!connection.isListed && connection.owner === undefined) {
      connection.isListed = true;
      this.#free.push(connection);
    }
    this.#serveWaiting();
  }

  onClosed(connection: PooledConnection): void {
    this.#all.delete(connection);
    const at = connection.isListed ? this.#free.indexOf(connection) : -1;
    if (at >= 0) this.#free.splice(at, 1);
    connection.isListed = false;
    this.#dialWhatIsMissing();
    this.#reportEmpty();
  }

  /** Called at regular times. */
  look(): void {
    for (const connection of this.#all) {
      connection.looks++;
      if (connection.isLeaving) this.#retire(connection);
      else if (connection.users === 0 && ++connection.idleLooks > IDLE_LOOKS) {
        connection.connection.destroy("idle");
      }
    }
    this.#reportEmpty();
  }

  destroy(reason: string): void {
    for (const connection of this.#all) connection.connection.destroy(reason);
  }

  #freeFor({ owner, needsFresh }: LaneUser): PooledConnection | undefined {
    for (const own of owner.pinned) {
      if (own.lane === this && own.connection.capacity > 0) return own;
    }
    while (this.#free.length > 0) {
      const connection = this.#free.at(-1) as PooledConnection;
      const { isLeaving } = connection;
      if (connection.connection.capacity > 0 && connection.owner === undefined && !isLeaving) {
        // The last used is the last: behind it there is none that is fresher.
        return needsFresh && this.#mayBeStale(connection) ? undefined : connection;
      }
      this.#free.pop();
      connection.isListed = false;
      if (isLeaving) this.#retire(connection);
    }
    return undefined;
  }

  /** Servers close idle connections, many after five seconds, and a request that crosses the end is lost. HTTP/2 says which it has not seen. */
  #mayBeStale({ wasUsed, idleLooks }: PooledConnection): boolean {
    return this.#parts.protocol === "http1" && wasUsed && idleLooks > 0;
  }

  #serveWaiting(): void {
    while (this.#waiting.length > 0) {
      const user = this.#waiting[0] as LaneUser;
      const connection = user.isOver ? undefined : this.#freeFor(user);
      if (connection === undefined && !user.isOver) return;
      this.#waiting.shift();
      if (connection !== undefined) give(connection, user);
    }
  }

  /** A connection of HTTP/1 for everyone who waits, one of HTTP/2 for all. */
  #dialWhatIsMissing(): void {
    const wanted =
      this.#parts.protocol === "http2" ? Math.min(1, this.#waiting.length) : this.#waiting.length;
    while (this.#dialling < wanted) {
      this.#dialling++;
      void this.#dial();
    }
  }

  async #dial(): Promise<void> {
    try {
      const handle = await this.#parts.dial();
      this.#dialling--;
      const connection = new PooledConnection(this, handle, this.#parts.connect);
      this.#all.add(connection);
      this.onFree(connection);
    } catch (error) {
      this.#dialling--;
      this.#onDialFailure(error);
    }
    this.#dialWhatIsMissing();
    this.#reportEmpty();
  }

  #onDialFailure(error: unknown): void {
    const count = this.#parts.protocol === "http2" ? this.#waiting.length : 1;
    const reason = dialReason(error);
    for (const user of this.#waiting.splice(0, count)) {
      if (!user.isOver) user.onNoConnection(reason, describeError(error));
    }
  }

  #retire(connection: PooledConnection): void {
    if (connection.users === 0) connection.connection.destroy("it takes no further request");
  }

  #reportEmpty(): void {
    if (this.#all.size > 0 || this.#dialling > 0 || this.#waiting.length > 0) return;
    this.isGone = true;
    this.#parts.onEmpty();
  }
}

function give(connection: PooledConnection, user: LaneUser): void {
  connection.users++;
  connection.idleLooks = 0;
  user.onConnection(connection);
}
