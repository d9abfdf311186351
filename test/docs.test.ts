/** What the documents say must be there: files, tests, packages, commands. Generated pages must be fresh. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import test from "node:test";
import { configPage } from "#tools/reference/config-page.ts";
import { errorsPage } from "#tools/reference/errors-page.ts";
import { metricsPage } from "#tools/reference/metrics-page.ts";
import { productSources } from "#tools/reference/sources.ts";

const ROOT = join(import.meta.dirname, "..");
process.chdir(ROOT);

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
const documents = [
  ...globSync("*.md"),
  ...globSync("docs/**/*.md"),
  ...globSync(
    "{core,ztunnel,waypoint,istio-cni,controller,cli,local,e2e,bench,test,tools,deploy,crds}/**/*.md",
  ),
].toSorted();
const TOP =
  /^(?:core|ztunnel|waypoint|istio-cni|controller|cli|local|e2e|bench|test|tools|docs|crds|deploy)\/[\w./*{},-]*$/;

function codeSpans(text: string): readonly string[] {
  const withoutBlocks = text.replace(/^```[^]*?^```/gm, "");
  return [...withoutBlocks.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
}

test("the documents are there", () => {
  for (const name of ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/limits.md"])
    assert.ok(documents.includes(name), name);
  assert.ok(documents.length > 20, `${documents.length} documents`);
});

for (const document of documents) {
  const text = readFileSync(document, "utf8");
  const here = dirname(document);

  test(`${document}: every file that it names is there`, () => {
    const named = codeSpans(text).filter((span) => TOP.test(span));
    const missing = named.filter(
      (path) => globSync(path).length === 0 && globSync(join(here, path)).length === 0,
    );
    assert.deepEqual(missing, []);
  });

  test(`${document}: every link leads to a file`, () => {
    const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));
    assert.deepEqual(
      local.filter((target) => !existsSync(normalize(join(here, target)))),
      [],
    );
  });

  test(`${document}: every test that it quotes is there`, () => {
    assert.deepEqual(quotedTests(text).filter(isMissing), []);
  });

  test(`${document}: every npm script that it names is there`, () => {
    const scripts = [...text.matchAll(/npm run ([a-z][\w:-]*)/g)].map((match) => match[1] ?? "");
    assert.deepEqual(
      scripts.filter((script) => !(script in manifest.scripts)),
      [],
    );
  });
}

interface QuotedTest {
  readonly file: string;
  readonly title: string;
}

/** A test file, a colon, and titles in quotation marks with semicolons between. */
function quotedTests(text: string): readonly QuotedTest[] {
  const quotes = text.matchAll(/`([\w./-]+\.(?:test|e2e)\.ts)`:\s*("[^"]+"(?:;\s*"[^"]+")*)/g);
  return [...quotes].flatMap(([, file = "", titles = ""]) =>
    [...titles.matchAll(/"([^"]+)"/g)].map((match) => ({
      file,
      title: (match[1] ?? "").replaceAll(/\s+/g, " "),
    })),
  );
}

function isMissing({ file, title }: QuotedTest): boolean {
  return !existsSync(file) || !readFileSync(file, "utf8").includes(title);
}

test("tests are quoted, and a title that is gone would be found", () => {
  const all = documents.flatMap((document) => quotedTests(readFileSync(document, "utf8")));
  assert.ok(all.length > 50, `${all.length} tests are quoted`);
  assert.ok(isMissing({ file: "test/docs.test.ts", title: ["no", "such", "title"].join("-") }));
});

test("README names the commands, the test command among them", () => {
  const readme = readFileSync("README.md", "utf8");
  for (const command of [
    "npm run demo",
    "npm start",
    "npm test",
    "npm run check",
    "npm run bench -- l4",
    "./ambit",
  ])
    assert.ok(readme.includes(command), command);
});

test("dependencies.md has exactly the packages of package.json", () => {
  const text = readFileSync("docs/dependencies.md", "utf8");
  const section = (title: string): readonly string[] => {
    const body = text.split(`## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
    const rows = body.split("\n").filter((line) => line.startsWith("| `"));
    return rows.flatMap((row) => codeSpans(row.split("|")[1] ?? "")).toSorted();
  };
  const { dependencies, optionalDependencies, devDependencies } = manifest;
  const atRunTime = Object.keys({ ...dependencies, ...optionalDependencies });
  assert.deepEqual(section("npm packages at run time"), atRunTime.toSorted());
  assert.deepEqual(section("npm packages for development"), Object.keys(devDependencies).toSorted());
});

test("dependencies.md has every OS package that the bootstrap installs", () => {
  const text = readFileSync("docs/dependencies.md", "utf8");
  const bootstrap = globSync("tools/{bootstrap.mjs,bootstrap/*.mjs}")
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  const names = [...bootstrap.matchAll(/name: "([a-z0-9-]+)"/g)].map((match) => match[1] ?? "");
  assert.ok(names.length > 3);
  assert.deepEqual(
    [...names, "kubernetes-client"].filter((name) => !text.includes(`\`${name}\``)),
    [],
  );
});

for (const [page, make] of [
  ["docs/config.md", configPage],
  ["docs/errors.md", () => errorsPage(productSources())],
  ["docs/metrics.md", () => metricsPage(productSources())],
] as const) {
  test(`${page} is what the sources say`, () => {
    const fresh = make();
    assert.ok(fresh.split("\n").length > 20);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(page, fresh);
    assert.equal(
      readFileSync(page, "utf8"),
      fresh,
      "renew it: UPDATE_GOLDEN=1 node --test test/docs.test.ts",
    );
  });
}
