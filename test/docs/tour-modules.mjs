import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import { projectPath } from "../../src/paths.ts";

const entries = {
  "storage-qos-client": "src/client/index.ts",
  "storage-qos-client/express": "src/client/middleware/express.ts",
};
const parentURL = pathToFileURL(projectPath("package.json")).href;

/** As if what the tour installs were: packages of the project, and the client as it stands. */
registerHooks({
  resolve(specifier, context, next) {
    const entry = entries[specifier];
    if (entry !== undefined) return next(pathToFileURL(projectPath(entry)).href, context);
    const isInTour = context.parentURL?.endsWith("/store.mjs") === true;
    return next(specifier, isInTour ? { ...context, parentURL } : context);
  },
});
