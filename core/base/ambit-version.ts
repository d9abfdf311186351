/** The version of this copy of Ambit. */
import manifest from "../../package.json" with { type: "json" };

export const AMBIT_VERSION: string = manifest.version;
