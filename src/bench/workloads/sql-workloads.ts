import { scripted } from "./scripted.ts";

const role = "rate_limiter_app";
const admits = { role, allowed: true } as const;
const denies = { role, allowed: false } as const;

export const select1 = scripted({ script: "select-1", says: "prepared select 1, 16 callers" });

export const select1Offered = scripted({
  ...{ script: "select-1", name: "select-1-offered", clients: 20, isHot: true, offered: 1000 },
  says: "prepared select 1, 20 callers, 1,000 a second offered",
});

export const updateRow = scripted({
  script: "update-row",
  says: "update of one bucket by key, 1,000 rows, 16 callers",
});

export const updateRowDurable = scripted({
  ...{ script: "update-row", name: "update-row-durable", isDurable: true },
  says: "the same, each commit on disk",
});

export const updateHotRow = scripted({
  ...{ script: "update-row", name: "update-hot-row", clients: 20, isHot: true },
  says: "update of one hot row, 20 callers",
});

export const updateHotRowDurable = scripted({
  ...{ script: "update-row", name: "update-hot-row-durable", clients: 20, isHot: true },
  ...{ isDurable: true, says: "the same, each commit on disk" },
});

export const floorFull = scripted({
  script: "floor-full",
  says:
    "bare statement that writes the rows of a full decision: two buckets, two ledger rows and a " +
    "stripe of layer 1",
});

export const floorPlain = scripted({
  script: "floor-plain",
  says: "bare update of one bucket by key and insert of one ledger row",
});

export const floorPlainDurable = scripted({
  ...{ script: "floor-plain", name: "floor-plain-durable", isDurable: true },
  says: "the same, each commit on disk",
});

export const floorHot = scripted({
  ...{ script: "floor-plain", name: "floor-hot", clients: 20, isHot: true },
  says: "the same on one row, 20 callers",
});

export const full = scripted({
  ...{ script: "consume-by-key", name: "full", ...admits },
  says: "full decision by API key: both layers, both kinds, 1,000 applications, 16 callers",
});

export const alone = scripted({
  ...{ script: "consume-alone", name: "alone", ...admits },
  says: "the same for applications without layer 1",
});

export const plain = scripted({
  ...{ script: "consume-plain", name: "plain", ...admits },
  says: "decision on an IOPS quota alone, 1,000 applications, 16 callers",
});

export const hotPlain = scripted({
  ...{ script: "consume-plain", name: "hot", clients: 20, isHot: true, ...admits },
  says: "the same for one application, 20 callers",
});

export const hotFull = scripted({
  ...{ script: "consume-by-key", name: "hot-full", clients: 20, isHot: true, ...admits },
  says: "full decision by API key for one key, 20 callers",
});

export const fullOffered = scripted({
  ...{ script: "consume-by-key", name: "full-offered", clients: 20, isHot: true, offered: 1000 },
  ...{ ...admits, says: "full decision by API key, one key, 20 callers, 1,000 a second offered" },
});

export const denied = scripted({
  ...{ script: "consume-denied", name: "denied", ...denies },
  says: "denials by API key, 1,000 applications with empty buckets, 16 callers",
});

export const mostlyDenied = scripted({
  ...{ script: "consume-mostly-denied", name: "mostly-denied", role },
  says: "nine denials for each admission, by API key, 16 callers",
});

export const batch = scripted({
  ...{ script: "consume-batch", name: "batch", times: 100, role },
  says: "full decisions in batches of 100, 1,000 applications, 16 callers",
});

export const naive = scripted({
  script: "naive",
  says: "the source design's statements for the same decision, sent one by one, 16 callers",
});

export const publishedBucket = scripted({
  script: "published-bucket",
  says: "another PostgreSQL token bucket, from its published description, 16 callers",
});
