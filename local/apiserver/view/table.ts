/** Pure. metav1.Table: the server prints, kubectl aligns. */
import type { ApiObject, JsonMap } from "../object.ts";
import type { PrinterColumn, Resource } from "../registry/resource.ts";
import { ageText } from "./age.ts";
import { builtinColumns, type Column, NAME } from "./columns.ts";
import { jsonPath } from "./json-path.ts";

export interface TableOptions {
  /** List metadata; for a single object its revision is used. */
  readonly metadata: JsonMap;
  readonly includeObject: string;
  /** Left out on all but the first event of a watch. */
  readonly withColumns: boolean;
  readonly nowMs: number;
}

export function makeTable(resource: Resource, objects: readonly ApiObject[], options: TableOptions): JsonMap {
  const columns = columnsOf(resource);
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata,
    columnDefinitions: options.withColumns ? columns.map(definition) : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, options.nowMs) ?? null),
      object: rowObject(object, options.includeObject),
    })),
  };
}

function columnsOf(resource: Resource): readonly Column[] {
  if (resource.custom === undefined) return builtinColumns(resource.id);
  return [NAME, ...resource.custom.columns.map(customColumn)];
}

function customColumn(column: PrinterColumn): Column {
  return {
    name: column.name,
    priority: column.priority,
    type: column.type,
    cell: (object, nowMs) => {
      const value = jsonPath(object, column.jsonPath);
      if (column.type === "date") return typeof value === "string" ? ageText(value, nowMs) : null;
      return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
    },
  };
}

function definition(column: Column): JsonMap {
  const isName = column.name === "Name";
  return {
    name: column.name,
    type: column.type,
    format: isName ? "name" : "",
    description: column.name,
    priority: column.priority,
  };
}

function rowObject(object: ApiObject, include: string): unknown {
  if (include === "None") return undefined;
  return include === "Object" ? object : partialMetadata(object);
}

export function partialMetadata(object: ApiObject): JsonMap {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}
