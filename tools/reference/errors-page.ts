/** Pure. `docs/errors.md`: the codes of `AmbitError` found in the sources, with what they say and where they arise. */
import { cell, generatedFrom, type SourceFile } from "./sources.ts";

interface ErrorUse {
  readonly code: string;
  readonly file: string;
  /** First text after the code, with its variable parts as dots; "" when it is made elsewhere. */
  readonly message: string;
}

const CALL = /(?:new AmbitError|super)\(\s*/g;
const CODE_TEXT = /"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/g;
const CONSTANT = /(?:\/\*\* ([^*]+) \*\/\n)?(?:export )?const ([A-Z][A-Z0-9_]+) = "([A-Z][A-Z0-9_]+)";/g;

const INTRODUCTION = `# Error codes

${generatedFrom("the sources")}

Failures of the world and broken invariants carry a code, which log lines and status conditions show as \`CODE: message\`. Expected
outcomes (a denial, no route) are no errors: they are the \`reason\` of a line in the access log
([life of a connection](life-of-a-connection.md)). The commands' exit codes and advice are in \`cli/errors.ts\`.

| Code | Says | Arises in |
|---|---|---|
`;

export function errorsPage(sources: readonly SourceFile[]): string {
  const uses = [...sources.flatMap(literalUses), ...constantUses(sources)];
  const codes = [...new Set(uses.map((use) => use.code))].toSorted();
  return `${INTRODUCTION}${codes.map((code) => row(code, uses)).join("\n")}\n`;
}

function row(code: string, uses: readonly ErrorUse[]): string {
  const own = uses.filter((use) => use.code === code);
  const messages = [...new Set(own.map((use) => use.message).filter((message) => message !== ""))];
  const files = [...new Set(own.map((use) => `\`${use.file}\``))];
  return `| \`${code}\` | ${cell(messages.slice(0, 3).join("; "))} | ${files.join(", ")} |`;
}

/** `new AmbitError("CODE", ...)`, also with a choice between two codes. */
function literalUses({ path, text }: SourceFile): readonly ErrorUse[] {
  return calls(text).flatMap((call) => {
    const first = firstArgument(call);
    const message = messageOf(call.slice(first.length + 1));
    return [...first.matchAll(CODE_TEXT)].map((match) => ({ code: match[1] ?? "", file: path, message }));
  });
}

/** Codes that have a constant: used where the constant is passed. Its own comment is the best description. */
function constantUses(sources: readonly SourceFile[]): readonly ErrorUse[] {
  const constants = sources.flatMap(({ path, text }) =>
    [...text.matchAll(CONSTANT)].map((match) => ({
      path,
      comment: match[1] ?? "",
      name: match[2] ?? "",
      code: match[3] ?? "",
    })),
  );
  return constants.flatMap(({ path, comment, name, code }) => {
    const passed = new RegExp(`(?:new AmbitError|super|tunnelError|failure?)\\(\\s*${name}\\b`);
    const users = sources.filter((source) => passed.test(source.text));
    if (users.length === 0 && !path.endsWith("-errors.ts")) return [];
    const messages = users.flatMap(({ path: file, text }) =>
      calls(text)
        .filter((call) => firstArgument(call) === name)
        .map((call) => ({
          code,
          file,
          message: comment || messageOf(call.slice(name.length + 1)),
        })),
    );
    return messages.length > 0 ? messages : [{ code, file: path, message: comment }];
  });
}

/** What follows the opening parenthesis of each call, cut at a length that holds code and message. */
function calls(text: string): readonly string[] {
  return [...text.matchAll(CALL)].map((match) => {
    const start = match.index + match[0].length;
    return text.slice(start, start + 600);
  });
}

function firstArgument(call: string): string {
  return /^[^,()]*/.exec(call)?.[0].trim() ?? "";
}

/** A text at the beginning of the second argument. */
function messageOf(rest: string): string {
  const match = /^\s*,?\s*(?:"([^"\n]+)"|`([^`\n]+)`)/.exec(rest);
  const text = match?.[1] ?? match?.[2] ?? "";
  return text.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "...").replace(/\$\{.*$/, "...");
}
