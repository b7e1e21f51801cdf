import { Autocomplete } from "@base-ui/react/autocomplete";
import { Dialog } from "@base-ui/react/dialog";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { useApplicationNames } from "../applications/application-names.ts";
import { signOut } from "../session/session.ts";
import { useViewer } from "../session/viewer.tsx";
import { placesFor } from "./places.ts";
import { chooseTheme, isDark } from "./theme.ts";

interface Command {
  readonly value: string;
  readonly label: string;
  readonly about: string;
  readonly run: () => void;
}

const mostShown = 50;

/** Everything that can be gone to or done, by its name. */
export default function Palette({ onClose }: { readonly onClose: () => void }) {
  const [asked, setAsked] = useState("");
  const commands = useCommands();
  const found = useMemo(() => search(commands, asked), [commands, asked]);

  function run(command: Command): void {
    onClose();
    command.run();
  }

  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="palette" aria-label="Search or go to">
          <Autocomplete.Root
            inline
            open
            items={found}
            filter={null}
            value={asked}
            onValueChange={setAsked}
            itemToStringValue={(command: Command) => command.label}
            autoHighlight="always"
            keepHighlight
          >
            <Autocomplete.Input
              className="palette-input"
              placeholder="Pages, applications, commands"
              aria-label="Search or go to"
            />
            <Autocomplete.Empty>
              <p className="palette-empty">Nothing is called that.</p>
            </Autocomplete.Empty>
            <Autocomplete.List className="palette-list">
              {(command: Command) => (
                <Autocomplete.Item
                  key={command.value}
                  value={command}
                  className="palette-item"
                  onClick={() => run(command)}
                >
                  <span className="break">{command.label}</span>
                  <span className="quiet small">{command.about}</span>
                </Autocomplete.Item>
              )}
            </Autocomplete.List>
          </Autocomplete.Root>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function useCommands(): readonly Command[] {
  const viewer = useViewer();
  const navigate = useNavigate();
  const { applications } = useApplicationNames();
  return useMemo(() => {
    const pages = placesFor(viewer).map(({ to, label }) => ({
      ...{ value: to, label, about: "Page", run: () => void navigate({ to }) },
    }));
    const actions = [
      {
        ...{ value: "theme", label: "Switch between dark and light", about: "Command" },
        run: () => chooseTheme(isDark() ? "light" : "dark"),
      },
      { value: "out", label: "Sign out", about: "Command", run: () => void signOut() },
    ];
    const ofApplications = applications.map(({ appId, name, tenant }) => ({
      ...{ value: appId, label: name, about: tenant?.name ?? "Application" },
      run: () => void navigate({ to: "/applications/$appId", params: { appId } }),
    }));
    return [...pages, ...actions, ...ofApplications];
  }, [viewer, navigate, applications]);
}

function search(commands: readonly Command[], asked: string): Command[] {
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  const found = commands.filter(({ label, about }) => {
    const text = `${label} ${about}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return found.slice(0, mostShown);
}
