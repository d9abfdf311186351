/**
 * The objects on disk. Every write is one transaction in WAL mode, so that whatever was acknowledged survives `kill -9`.
 * Revisions never go back, even if power loss takes the last commits: a ceiling is stored ahead of use and the next start
 * begins at it.
 */
import { chmodSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";

const REVISIONS_RESERVED = 1000;

export interface StoredRow {
  readonly resource: string;
  readonly key: string;
  readonly json: string;
}

export class SqliteFile {
  readonly #database: DatabaseSync;
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  readonly #setMeta: StatementSync;
  readonly #getMeta: StatementSync;
  #ceiling: number;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    chmodSync(path, 0o600); // Secrets are in it
    this.#database.exec(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;" +
        "CREATE TABLE IF NOT EXISTS objects(resource TEXT, key TEXT, json TEXT, PRIMARY KEY(resource, key)) WITHOUT ROWID;" +
        "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER)",
    );
    this.#upsert = this.#database.prepare(
      "INSERT INTO objects(resource, key, json) VALUES(?, ?, ?) ON CONFLICT(resource, key) DO UPDATE SET json = excluded.json",
    );
    this.#delete = this.#database.prepare("DELETE FROM objects WHERE resource = ? AND key = ?");
    this.#setMeta = this.#database.prepare(
      "INSERT INTO meta(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
    );
    this.#getMeta = this.#database.prepare("SELECT value FROM meta WHERE name = ?");
    this.#ceiling = Number(this.#getMeta.get("ceiling")?.["value"] ?? 0);
  }

  /** The first revision that no earlier run can have used. */
  get firstFreeRevision(): number {
    return this.#ceiling + 1;
  }

  *load(): Iterable<StoredRow> {
    for (const row of this.#database.prepare("SELECT resource, key, json FROM objects").iterate()) {
      yield { resource: String(row["resource"]), key: String(row["key"]), json: String(row["json"]) };
    }
  }

  /** Must be called with every new revision before it is shown to anyone. */
  reserve(revision: number): void {
    if (revision <= this.#ceiling) return;
    this.#ceiling = revision + REVISIONS_RESERVED;
    this.#setMeta.run("ceiling", this.#ceiling);
  }

  put(resource: string, key: string, json: string): void {
    this.#upsert.run(resource, key, json);
  }

  remove(resource: string, key: string): void {
    this.#delete.run(resource, key);
  }

  close(): void {
    this.#database.close();
  }
}
