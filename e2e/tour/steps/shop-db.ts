/** The database's client as it counts itself: a session that stays, and new ones. */
import type { DbStats } from "../../framework/db-stats.ts";
import type { Tour } from "../tour.ts";

export async function dbStats(tour: Tour): Promise<DbStats> {
  const pod = await tour.pod("shop", "app=db-client");
  const script = 'console.log(await (await fetch("http://127.0.0.1:9090/stats")).text())';
  return JSON.parse(await tour.run(pod, script)) as DbStats;
}

/** The database's traffic since `before` is as if nothing had happened: it goes past the waypoint. */
export async function checkDatabase(tour: Tour, before: DbStats): Promise<void> {
  const after = await dbStats(tour);
  const client = await tour.pod("shop", "app=db-client");
  const fresh = after.fresh.tried - before.fresh.tried;
  const failed = after.fresh.failed - before.fresh.failed;
  const answered = after.kept.answered - before.kept.answered;
  const peer = after.kept.peer.replace("::ffff:", "");
  if (failed > 0) tour.show(`reasons so far: ${JSON.stringify(after.reasons)}`);
  tour.check(
    after.kept.lost === "" && answered > 0 && failed === 0 && fresh > 0 && client.ips.includes(peer),
    `database, server speaks first: one session kept (${answered} answers), ${fresh} new ones, ${failed} failed, and it sees its client's own address ${peer}`,
  );
}
