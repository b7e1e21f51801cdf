import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { useAction } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import { FailedJobsDocument, type FailedJobsQuery, RetryJobsDocument } from "./jobs.operations.ts";

type Job = NonNullable<NonNullable<FailedJobsQuery["failedJobs"]>["nodes"][number]>;

export default function JobsPage() {
  const [{ data, error }, again] = useQuery({ query: FailedJobsDocument });
  const retry = useAction(RetryJobsDocument);
  const tell = useTell();
  const problem = problemOfAnswer(error) ?? retry.problem;
  const jobs = present(data?.failedJobs?.nodes);

  async function retryThese(these: readonly Job[]) {
    const jobIds = [...present(these.map(({ jobId }) => jobId))];
    const done = await retry.act({ input: { jobIds } });
    if (done === undefined) return;
    tell("Retried", `${done.retryJobs?.retried ?? 0} of ${these.length} run again`);
    again({ requestPolicy: "network-only" });
  }

  return (
    <Page title="Jobs" about="Background jobs that failed for the last time.">
      {problem && <ProblemNote problem={problem} />}
      <Card
        title="Failed jobs"
        actions={
          jobs.length > 1 && (
            <Button isSmall isBusy={retry.isBusy} onClick={() => retryThese(jobs)}>
              Retry all
            </Button>
          )
        }
        isFlush
      >
        {!data && !problem && <Loading />}
        {data && jobs.length === 0 && (
          <Empty title="No job has failed">
            Jobs repay loans, raise alerts and remove what has expired. One that fails is tried
            again by itself, and comes here when it was tried often enough.
          </Empty>
        )}
        {jobs.length > 0 && (
          <ul className="list">
            {jobs.map((job) => (
              <li key={job.jobId} className="list-item">
                <div className="grow">
                  <span className="strong">{sentence(job.task ?? "")}</span>
                  <p className="bad small break">{job.lastError}</p>
                  <p className="quiet small">
                    {job.attempts} attempts
                    {job.failedAt && (
                      <>
                        , the last <Moment at={job.failedAt} isRelative />
                      </>
                    )}
                  </p>
                </div>
                <Button
                  isSmall
                  isBusy={retry.isBusy}
                  onClick={() => retryThese([job])}
                  aria-label={`Retry ${sentence(job.task ?? "").toLowerCase()}`}
                >
                  Retry
                </Button>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </Page>
  );
}
