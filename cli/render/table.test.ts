import assert from "node:assert/strict";
import test from "node:test";
import { renderTable } from "./table.ts";
import { renderStructured } from "./structured.ts";

test("columns are as wide as their widest cell plus one, the last cell is not padded", () => {
  assert.equal(
    renderTable(
      ["A", "LONG", "C"],
      [
        ["xxx", "y", "z"],
        ["", "yy", ""],
      ],
    ),
    "A   LONG C\nxxx y    z\n    yy   \n",
  );
});

test("a table without rows is its header", () => {
  assert.equal(renderTable(["NAME", "TYPE"], []), "NAME TYPE\n");
});

test("padding of five, as for certificates", () => {
  assert.equal(renderTable(["A", "B"], [["xx", "y"]], { padding: 5 }), "A      B\nxx     y\n");
});

test("cells cannot steer the terminal", () => {
  assert.equal(renderTable(["A"], [["\u001b[2Jred\n\u009b"]]), "A\n?[2Jred??\n");
});

test("characters beyond the basic plane count once", () => {
  assert.equal(
    renderTable(
      ["A", "B"],
      [
        ["\u{1F600}", "y"],
        ["ab", "y"],
      ],
    ),
    "A  B\n\u{1F600}  y\nab y\n",
  );
});

test("JSON has four blanks, YAML sorted keys and no references", () => {
  const shared = { b: 1, a: "2026-01-01" };
  assert.equal(
    renderStructured([shared], "json"),
    '[\n    {\n        "b": 1,\n        "a": "2026-01-01"\n    }\n]\n',
  );
  assert.equal(
    renderStructured([shared, shared], "yaml"),
    "- a: 2026-01-01\n  b: 1\n- a: 2026-01-01\n  b: 1\n",
  );
});
