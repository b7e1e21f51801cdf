/**
 * Grafast reads this once, when it is loaded: import this file before it. Its development mode
 * checks plans at a price that no request should pay.
 */
process.env.GRAPHILE_ENV ??= "production";
