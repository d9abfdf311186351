/** Pure. Region, zone and subzone of a node; an unknown part is the empty string. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export const NO_LOCALITY: Locality = { region: "", zone: "", subzone: "" };
