/**
 * Volume contents that change as one: files live in a dated directory, `..data` points to it and is replaced by rename
 * (kubelet's atomic writer). A reader never sees a mix of old and new.
 */
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface VolumeFile {
  /** Relative path without `..`. */
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
  /** Owner of the file when it is not root: a token that only its container's user may read. */
  readonly uid?: number;
}

let counter = 0;

/** Replaces the whole content of `directory`. */
export function writeVolume(directory: string, files: readonly VolumeFile[]): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const stamp = `..${new Date().toISOString().replace(/[-:T]/g, "_").replace("Z", "")}.${counter++}`;
  mkdirSync(join(directory, stamp), { mode: 0o755 });
  for (const file of files) {
    const path = join(directory, stamp, file.path);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(path, file.data, { mode: file.mode });
    if (file.uid !== undefined && file.uid !== 0) chownSync(path, file.uid, -1);
  }
  const link = join(directory, "..data");
  const previous = existsSync(link) ? readlinkSync(link) : undefined;
  const temporary = join(directory, "..data_tmp");
  rmSync(temporary, { force: true });
  symlinkSync(stamp, temporary);
  renameSync(temporary, link);
  linkTopEntries(directory, files);
  if (previous !== undefined) rmSync(join(directory, previous), { recursive: true, force: true });
}

function linkTopEntries(directory: string, files: readonly VolumeFile[]): void {
  const wanted = new Set(files.map((file) => file.path.split("/")[0] ?? ""));
  for (const name of readdirSync(directory)) {
    if (!name.startsWith("..") && !wanted.has(name)) rmSync(join(directory, name), { force: true });
  }
  const present = new Set(readdirSync(directory));
  for (const name of wanted) {
    if (!present.has(name)) symlinkSync(`..data/${name}`, join(directory, name));
  }
}
