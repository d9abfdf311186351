/** HOT PATH, pure. Fields whose value is a list of tokens: `connection`, `upgrade` (RFC 9110 5.6.1, 7.6.1, 7.8). */

/** The tokens in lower case, empty elements left out; undefined when one is no token (or, with `slash`, no protocol name). */
export function tokensOf(value: string, form: "token" | "protocol"): readonly string[] | undefined {
  const tokens: string[] = [];
  const pattern = form === "token" ? TOKEN : PROTOCOL;
  for (const element of value.split(",")) {
    const token = trimBlanks(element);
    if (token === "") continue;
    if (!pattern.test(token)) return undefined;
    tokens.push(token.toLowerCase());
  }
  return tokens;
}

/** Without spaces and tabs at the ends; nothing else is white space in HTTP. */
function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?$/;
