/** The flag that says which local cluster a command is about. */
export const ID_FLAG = {
  kind: "text",
  placeholder: "ID",
  default: "default",
  help: "which local cluster, when there are several",
} as const;
