import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { useAction } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  ReplayNotificationDocument,
  UndeliveredDocument,
  type UndeliveredQuery,
} from "./undelivered.operations.ts";

type Notification = NonNullable<
  NonNullable<UndeliveredQuery["alertNotifications"]>["nodes"][number]
>;

/** Notifications that were given up, which can be sent again. */
export function Undelivered() {
  const mayReplay = useMay("system:monitor");
  const [{ data, error }, again] = useQuery({
    ...{ query: UndeliveredDocument, requestPolicy: "cache-and-network", pause: !mayReplay },
  });
  const replay = useAction(ReplayNotificationDocument);
  const tell = useTell();
  const notifications = present(data?.alertNotifications?.nodes);
  const problem = problemOfAnswer(error) ?? replay.problem;
  if (!problem && notifications.length === 0) return null;

  async function send({ notificationId }: Notification) {
    const done = await replay.act({ input: { notificationId } });
    if (done === undefined) return;
    tell("Sent again", "It goes out with the next job");
    again({ requestPolicy: "network-only" });
  }

  return (
    <Card title="Not delivered" about="What was given up after all attempts" isFlush>
      {problem && <ProblemNote problem={problem} />}
      <ul className="list">
        {notifications.map((notification) => (
          <li key={notification.notificationId} className="list-item">
            <div className="grow">
              <span className="strong">
                {notification.application?.name}: {notification.event.toLowerCase()}, by{" "}
                {notification.channel.toLowerCase()}
              </span>
              <p className="bad small break">{notification.lastError}</p>
              <p className="quiet small">
                {notification.attempts} attempts, made{" "}
                <Moment at={notification.createdAt} isRelative />
              </p>
            </div>
            <Button
              isSmall
              isBusy={replay.isBusy}
              onClick={() => send(notification)}
              aria-label={`Send again: ${sentence(notification.event)} of ${notification.application?.name}`}
            >
              Send again
            </Button>
          </li>
        ))}
      </ul>
    </Card>
  );
}
