import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { exact } from "../format/amount.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { ActionDialog } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import { SetSettingDocument, SettingsDocument, type SettingsQuery } from "./settings.operations.ts";

type Setting = NonNullable<NonNullable<SettingsQuery["systemSettings"]>["nodes"][number]>;

export default function SettingsPage() {
  const [{ data, error }, again] = useQuery({ query: SettingsDocument });
  const [changed, setChanged] = useState<Setting>();
  const [asked, setAsked] = useState("");
  const problem = problemOfAnswer(error);
  const settings = present(data?.systemSettings?.nodes).filter(({ key, description }) =>
    `${key} ${description}`.toLowerCase().includes(asked.toLowerCase()),
  );
  return (
    <Page title="Settings" about="Of the whole system. Each change is audited.">
      <input
        type="search"
        className="input search"
        placeholder="Search by name or by what it does"
        aria-label="Search settings"
        value={asked}
        onChange={({ target }) => setAsked(target.value)}
      />
      {problem && <ProblemNote problem={problem} />}
      {!data && !problem && <Loading />}
      {settings.length > 0 && (
        <Card title="System settings" isFlush>
          <ul className="list">
            {settings.map((setting) => (
              <li key={setting.key} className="list-item setting">
                <div className="grow">
                  <span className="strong break">{sentence(setting.key)}</span>
                  <p className="quiet small">{setting.description}</p>
                </div>
                <code className="setting-value break">
                  {setting.isSensitive ? "hidden" : setting.value}
                </code>
                <Button
                  isSmall
                  onClick={() => setChanged(setting)}
                  aria-label={`Change ${sentence(setting.key).toLowerCase()}`}
                >
                  Change
                </Button>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {changed && (
        <ChangeDialog
          setting={changed}
          onClose={() => setChanged(undefined)}
          onDone={() => {
            setChanged(undefined);
            again({ requestPolicy: "network-only" });
          }}
        />
      )}
    </Page>
  );
}

interface DialogProps {
  readonly setting: Setting;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function ChangeDialog({ setting, onClose, onDone }: DialogProps) {
  const tell = useTell();
  const choices = setting.choices ?? (setting.valueType === "BOOLEAN" ? ["true", "false"] : null);
  return (
    <ActionDialog
      title={sentence(setting.key)}
      about={setting.description}
      verb="Change the setting"
      document={SetSettingDocument}
      variables={({ value = "" }) => ({
        input: { key: setting.key, value, ifVersion: setting.version },
      })}
      onClose={onClose}
      onDone={() => {
        tell("Setting changed", sentence(setting.key));
        onDone();
      }}
    >
      {choices ? (
        <ChoiceField
          label="Value"
          name="value"
          defaultValue={setting.value}
          choices={choices.map((choice) => [choice ?? "", choice ?? ""] as const)}
        />
      ) : (
        <TextField
          label="Value"
          name="value"
          defaultValue={setting.isSensitive ? "" : setting.value}
          hint={boundsOf(setting)}
          autoComplete="off"
        />
      )}
    </ActionDialog>
  );
}

function boundsOf({ minimum, maximum }: Setting): string | undefined {
  if (minimum === null && maximum === null) return undefined;
  if (maximum === null) return `At least ${exact(minimum)}`;
  return minimum === null
    ? `At most ${exact(maximum)}`
    : `From ${exact(minimum)} to ${exact(maximum)}`;
}
