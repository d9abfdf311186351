/** What every part of the bootstrap shares: messages, and programs that run quietly with signs of life. Node >= 18, no packages. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

const SIGN_OF_LIFE_MS = 10_000;
const KEEP_CHARACTERS = 64_000;

export function say(text) {
  process.stderr.write(`ambit: ${text}\n`);
}

/** Ends the bootstrap: what is wrong, and what to do about it. */
export function fail(what, todo) {
  say(`${what}\n       ${todo}`);
  process.exit(1);
}

/** The first file of that name on PATH, or undefined. */
export function onPath(program) {
  return (process.env.PATH ?? "")
    .split(":")
    .filter((dir) => dir !== "")
    .map((dir) => join(dir, program))
    .find((file) => isProgram(file));
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a program with its output kept back. Says what happens, that it still does every ten seconds, and how long it took.
 * Resolves with `status` (undefined when it did not start or was killed at the deadline) and the end of its output.
 */
export async function runQuietly(what, command, args, { timeoutMs, ...options }) {
  say(`${what} ...`);
  const started = Date.now();
  const alive = setInterval(() => say(`  still at it after ${seconds(started)}`), SIGN_OF_LIFE_MS);
  const result = await finished(
    spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs }),
  );
  clearInterval(alive);
  if (result.status === 0) say(`  done in ${seconds(started)}`);
  return result;
}

function finished(child) {
  return new Promise((resolve) => {
    let output = "";
    const keep = (chunk) => (output = (output + chunk).slice(-KEEP_CHARACTERS));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ status: undefined, output: error.message }));
    child.on("close", (code, signal) =>
      resolve({
        status: code ?? undefined,
        output: signal === null ? output : `${output}\nended by ${signal}`,
      }),
    );
  });
}

/** The lines of an output that say why: errors when there are any, else the last ones. */
export function reason(output) {
  const lines = output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/complete log|_logs|^npm (ERR!|error)$/.test(line));
  const errors = lines.filter((line) => /^(E:|Err:|npm (ERR!|error))/.test(line));
  return (errors.length > 0 ? errors.slice(0, 4) : lines.slice(-3)).join(" | ").slice(0, 500);
}

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}
