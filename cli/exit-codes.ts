/** Pure. What `ambit` exits with; scripts rely on these numbers. */
export const ExitCode = {
  ok: 0,
  /** The command ran and found or met something wrong. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** The cluster, or a pod in it, cannot be reached. */
  unreachable: 3,
  /** What was asked for does not exist. */
  notFound: 4,
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
