import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { exact } from "../format/amount.ts";
import { present } from "../overview/rates.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { CompareVersionsDocument } from "./application.operations.ts";
import type { Version } from "./quotas.ts";

interface Props {
  readonly versions: readonly Version[];
  /** The configId of the quota in force. */
  readonly inForce: string | undefined;
  readonly onRollback: ((version: Version) => void) | undefined;
}

export function Versions({ versions, inForce, onRollback }: Props) {
  const [newer, setNewer] = useState(versions[0]?.versionId ?? "");
  const [older, setOlder] = useState(versions[1]?.versionId ?? "");
  return (
    <Card title="Versions" about="Every change and its reason; choose two to compare them" isFlush>
      <Table columns={["Compare", "Changed", "Reason"]} hasActions={onRollback !== undefined}>
        {versions.map((version) => (
          <tr key={version.versionId}>
            <td>
              <span className="pair">
                <Choice of={version} name="older" chosen={older} onChoose={setOlder} />
                <Choice of={version} name="newer" chosen={newer} onChoose={setNewer} />
              </span>
            </td>
            <td>
              <Moment at={version.changedAt} />{" "}
              {version.configId === inForce && <Badge tone="good">in force</Badge>}
            </td>
            <td className="wraps break">{version.changeReason}</td>
            {onRollback && (
              <td className="right">
                {version.configId !== inForce && (
                  <Button isSmall onClick={() => onRollback(version)}>
                    Roll back to this
                  </Button>
                )}
              </td>
            )}
          </tr>
        ))}
      </Table>
      {older && newer && older !== newer && <Comparison older={older} newer={newer} />}
    </Card>
  );
}

interface ChoiceProps {
  readonly of: Version;
  readonly name: "older" | "newer";
  readonly chosen: string;
  readonly onChoose: (versionId: string) => void;
}

function Choice({ of: version, name, chosen, onChoose }: ChoiceProps) {
  return (
    <input
      type="radio"
      name={name}
      aria-label={`As the ${name} one: ${version.changeReason ?? version.changedAt}`}
      title={`As the ${name} one`}
      checked={chosen === version.versionId}
      onChange={() => onChoose(version.versionId)}
    />
  );
}

function Comparison({ older, newer }: { readonly older: string; readonly newer: string }) {
  const [{ data, error, fetching }] = useQuery({
    query: CompareVersionsDocument,
    variables: { versionId: older, otherVersionId: newer },
  });
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data || fetching) return <Loading />;
  const limits = present(data.compareQuotaVersions).filter(({ field }) => field?.includes("."));
  if (limits.length === 0) {
    return <p className="card-note quiet diff-none">These two have the same limits.</p>;
  }
  return (
    <dl className="diff" aria-label="What differs">
      {limits.map(({ field, value, otherValue }) => (
        <div key={field}>
          <dt>{fieldName(field ?? "")}</dt>
          <dd>
            <del>{plain(value)}</del>
            <span aria-hidden="true">→</span>
            <ins>{plain(otherValue)}</ins>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const fieldNames: Readonly<Record<string, string>> = {
  "iops.iops_limit": "Operations a second",
  "iops.iops_burst": "Operations a second in a burst",
  "iops.refill_rate": "Tokens that flow in each second",
  "iops.burst_duration_seconds": "Seconds of a burst of operations",
  "iops.calculation_method": "How it refills",
  "iops.min_reserve": "Tokens that are kept back",
  "bandwidth.bandwidth_limit_bps": "Bytes a second",
  "bandwidth.bandwidth_burst_bps": "Bytes a second in a burst",
  "bandwidth.refill_rate_bps": "Bytes that flow in each second",
  "bandwidth.burst_duration_seconds": "Seconds of a burst of bytes",
  "bandwidth.allow_oversize": "Lets larger operations through",
};

function fieldName(field: string): string {
  return fieldNames[field] ?? field;
}

function plain(value: string | null): string {
  if (value === null) return "not limited";
  return /^\d+$/.test(value) ? exact(value) : value.replaceAll("_", " ");
}
