/** What the database's client in the sample shop counts (`local/samples/db-client.ts`). */
export interface DbStats {
  readonly kept: {
    readonly answered: number;
    /** Why the session that stays was lost; "" while it lives. */
    readonly lost: string;
    /** Address under which the database sees this client. */
    readonly peer: string;
  };
  readonly fresh: { readonly tried: number; readonly ok: number; readonly failed: number };
  readonly reasons: Readonly<Record<string, number>>;
}
