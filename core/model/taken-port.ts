/** Pure. What is said, by whoever notices first, when a program of a pod listens where ztunnel has to. */
export function takenPortText(port: number): string {
  return (
    `port ${port} of the pod is taken by a program of the pod, and the mesh needs it: let the program listen on another port, ` +
    "or keep the pod out of the mesh with the label istio.io/dataplane-mode=none"
  );
}
