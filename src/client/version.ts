/** Of this package, as its package.json says. */
export const clientVersion = "0.1.0";
