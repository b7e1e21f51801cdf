/** What the package takes over from the project's own package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly author: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  /** Of one command alone, which says how to install them. */
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

/** Libraries of commands that the package leaves out, and of the client. */
const ofDevelopment = ["hdr-histogram-js", "lru.min"];

/** The package.json of the server: a program, of which nothing can be imported. */
export function serverManifest(project: Manifest) {
  const { name, version, description, license, author, bin } = project;
  const { peerDependencies, peerDependenciesMeta } = project;
  const dependencies = without(project.dependencies, (each) => ofDevelopment.includes(each));
  // Its program would be the `node` of all that is installed beside it.
  const optionalDependencies = without(project.optionalDependencies, (each) =>
    each.startsWith("node-"),
  );
  return {
    ...{ name, version, description },
    keywords: ["rate-limit", "quota", "qos", "storage", "s3", "postgresql"],
    ...{ license, author, type: "module", bin },
    exports: { "./package.json": "./package.json" },
    engines: { node: ">=22.18" },
    ...{ dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta },
  };
}

function without(
  dependencies: Readonly<Record<string, string>>,
  isLeftOut: (name: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(Object.entries(dependencies).filter(([name]) => !isLeftOut(name)));
}
