import type { ServerResponse } from "node:http";

/** Browsers must not render, frame, sniff or cache answers. */
const always = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
};

/** The IDE is a page that runs only its own scripts. */
const idePolicy = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
  "worker-src 'self' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self' ws: wss:",
  "frame-ancestors 'none'",
].join("; ");

export function setSecurityHeaders(response: ServerResponse, isIde: boolean): void {
  for (const [name, value] of Object.entries(always)) response.setHeader(name, value);
  if (isIde) response.setHeader("Content-Security-Policy", idePolicy);
}
