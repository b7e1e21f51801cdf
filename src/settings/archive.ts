import { secret, text } from "./kinds.ts";

/** Where archives lie, and what opens their bucket: the names that S3's own tools read. */
export const archiveDeclaration = {
  folder: text("QOS_ARCHIVE_FOLDER", {
    says: "where retention exports to, a folder or `s3://bucket/folder`; without it nothing is removed that is to be exported first",
  }),
  accessKeyId: text("AWS_ACCESS_KEY_ID", { says: "the key to that bucket" }),
  secretAccessKey: secret("AWS_SECRET_ACCESS_KEY", { says: "its secret" }),
  sessionToken: secret("AWS_SESSION_TOKEN", { says: "the token of a temporary key" }),
  region: text("AWS_REGION", { says: "the bucket's region", usual: "us-east-1" }),
  endpoint: text("AWS_ENDPOINT_URL_S3", {
    says: "the store of the bucket, where it is not Amazon's: `https://objects.example.org`",
    usually: "Amazon's",
  }),
};
