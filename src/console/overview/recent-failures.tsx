import { Link } from "@tanstack/react-router";
import { sentence } from "../format/words.ts";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Moment } from "../ui/moment.tsx";
import type { FailedJob } from "./rates.ts";

export function RecentFailures({ jobs }: { readonly jobs: readonly FailedJob[] | undefined }) {
  if (jobs === undefined) return null;
  const badge =
    jobs.length === 0 ? <Badge tone="good">all well</Badge> : <Badge tone="bad">failed</Badge>;
  return (
    <Card title="Background jobs" actions={badge} isFlush>
      {jobs.length === 0 ? (
        <p className="card-note quiet">No job has failed for the last time.</p>
      ) : (
        <ul className="list">
          {jobs.map((job) => (
            <li key={job.jobId} className="list-item">
              <div className="grow">
                <Link to="/jobs" className="strong">
                  {sentence(job.task ?? "")}
                </Link>
                <p className="quiet small clamp">{job.lastError}</p>
              </div>
              {job.failedAt && (
                <span className="quiet small">
                  <Moment at={job.failedAt} isRelative />
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
