/** Who makes a request. */

export interface UserInfo {
  readonly username: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

export const ANONYMOUS: UserInfo = { username: "system:anonymous", groups: ["system:unauthenticated"] };
export const MASTERS = "system:masters";

/** Name of a kubelet's node, when the user is one. */
export function nodeOf(user: UserInfo): string | undefined {
  const prefix = "system:node:";
  return user.groups.includes("system:nodes") && user.username.startsWith(prefix)
    ? user.username.slice(prefix.length)
    : undefined;
}

export function serviceAccountUser(namespace: string, name: string): string {
  return `system:serviceaccount:${namespace}:${name}`;
}
