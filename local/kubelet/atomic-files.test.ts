import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeVolume } from "./atomic-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ambit-volume-"));
after(() => rmSync(folder, { recursive: true }));

test("all files change together, by one link; what is gone is gone; nothing old stays", () => {
  const file = (path: string, text: string, mode = 0o644): Parameters<typeof writeVolume>[1][number] => ({
    path,
    data: Buffer.from(text),
    mode,
  });
  writeVolume(folder, [file("a", "1"), file("b", "1", 0o400), file("deep/c", "1")]);
  assert.equal(statSync(join(folder, "b")).mode & 0o777, 0o400);
  assert.equal(readFileSync(join(folder, "deep", "c"), "utf8"), "1");
  const first = readlinkSync(join(folder, "..data"));
  writeVolume(folder, [file("a", "2"), file("d", "2")]);
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "2");
  const second = readlinkSync(join(folder, "..data"));
  assert.notEqual(first, second);
  assert.deepEqual(readdirSync(folder).toSorted(), [second, "..data", "a", "d"].toSorted());
});
