/** Two commands of one clone may start together: what changes the clone itself is done by one of them while the other waits. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fail, say } from "./talk.mjs";

const PATIENCE_MS = 1_800_000;
const LOOK_EVERY_MS = 200;

/** `file` holds the owner's process id; that of a process which is gone does not count. */
export async function oneAtATime(file, work) {
  mkdirSync(dirname(file), { recursive: true });
  const until = Date.now() + PATIENCE_MS;
  for (let told = false; !take(file);) {
    if (Date.now() > until)
      fail("another command has been installing for half an hour", `look at it, or delete ${file}`);
    if (!told) say(`waiting for another command of this clone (process ${ownerOf(file)}), which installs`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  const free = () => rmSync(file, { force: true });
  process.once("exit", free);
  try {
    return await work();
  } finally {
    free();
    process.off("exit", free);
  }
}

function take(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") fail(`cannot write ${file}: ${error.message}`, "the clone must be writable");
  }
  const owner = ownerOf(file);
  if (owner === undefined || isAlive(owner)) return false;
  rmSync(file, { force: true });
  return take(file);
}

function ownerOf(file) {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
