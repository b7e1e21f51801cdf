import type { BucketType } from "../application/application.operations.ts";

/** What a bucket is called, and in which unit it counts. */
export function bucketName(type: BucketType | null): string {
  const [kind = "", place] = (type ?? "").split("_");
  const name = kind === "IOPS" ? "Operations" : "Bandwidth";
  if (place === "RESERVE") return `${name}, reserved`;
  return place === "L1" ? `${name} of the cluster` : name;
}

export function isBytes(type: BucketType | null): boolean {
  return type?.startsWith("BANDWIDTH") ?? false;
}

/** unit of an amount of the bucket, for short() */
export function unitOf(type: BucketType | null): string {
  return isBytes(type) ? "B" : "";
}

/** token_bucket as Token bucket */
export function sentence(name: string): string {
  const text = name.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
