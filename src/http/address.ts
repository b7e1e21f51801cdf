import type { Setting } from "../settings/setting.ts";

/** Where a process listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The settings that say so: an error names them. */
export interface AddressSettings {
  readonly host: Setting<string>;
  readonly port: Setting<number> | Setting<number | undefined>;
}
