import { archiveDeclaration } from "../settings/archive.ts";
import { readSettings } from "../settings/read-settings.ts";
import { UserError } from "../user-error.ts";

/** What is needed to use a folder of a bucket. */
export interface BucketAccess {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Only what an URL and XML write as it is. */
const pattern = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[\w.-]+)*)\/?$/;

/** Undefined where the location is not a bucket. The variables are those that S3's own tools read. */
export function bucketAccess(place: string, env: NodeJS.ProcessEnv): BucketAccess | undefined {
  const settings = readSettings(env, archiveDeclaration);
  const { accessKeyId, secretAccessKey, sessionToken, region } = settings;
  const { endpoint = `https://s3.${region}.amazonaws.com` } = settings;
  if (!place.startsWith("s3:")) return undefined;

  const [, bucket, prefix = ""] = pattern.exec(place) ?? [];
  if (bucket === undefined) {
    throw new UserError(
      "bucket_invalid",
      `${place} names no folder of a bucket`,
      "Write s3://bucket/folder, in letters, digits, and . _ - alone.",
    );
  }
  if (!accessKeyId || !secretAccessKey) {
    throw new UserError(
      "bucket_keys_missing",
      `nothing says with which keys ${place} is opened`,
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    );
  }
  return {
    endpoint: endpoint.replace(/\/+$/, ""),
    region,
    bucket,
    prefix: prefix.slice(1),
    accessKeyId,
    secretAccessKey,
    ...(sessionToken && { sessionToken }),
  };
}
