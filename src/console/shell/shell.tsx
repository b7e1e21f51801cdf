import { Dialog } from "@base-ui/react/dialog";
import { Menu } from "@base-ui/react/menu";
import { type ErrorComponentProps, Link, Outlet, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";
import { signOut } from "../session/session.ts";
import { useViewer } from "../session/viewer.tsx";
import { Button } from "../ui/button.tsx";
import { Loading } from "../ui/loading.tsx";
import { ConnectionBanner } from "./connection-banner.tsx";
import { Icon } from "./icons.tsx";
import { Logo } from "./logo.tsx";
import { loadAllPages } from "./page-loaders.ts";
import { placesFor } from "./places.ts";
import { ThemeToggle } from "./theme-toggle.tsx";

const Palette = lazy(() => import("./palette.tsx"));

export function Shell() {
  const [isSearching, setSearching] = useState(false);
  useShortcut(() => setSearching(true));
  useEffect(loadAllPages, []);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <aside className="sidebar">
        <Logo />
        <Places />
      </aside>
      <div className="column">
        <header className="topbar">
          <Drawer />
          <button type="button" className="search-button" onClick={() => setSearching(true)}>
            <Icon name="search" />
            <span>Search or go to…</span>
            <kbd>Ctrl K</kbd>
          </button>
          <span className="grow" />
          <ThemeToggle />
          <UserMenu />
        </header>
        <ConnectionBanner />
        <main id="main" tabIndex={-1}>
          <Suspense fallback={<Loading />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      {isSearching && (
        <Suspense>
          <Palette onClose={() => setSearching(false)} />
        </Suspense>
      )}
    </div>
  );
}

function Places() {
  const viewer = useViewer();
  return (
    <nav aria-label="Pages">
      {placesFor(viewer).map(({ to, label, icon }) => (
        <Link
          key={to}
          to={to}
          className="place"
          activeProps={{ className: "place place-here" }}
          activeOptions={{ exact: to === "/", includeSearch: false }}
        >
          <Icon name={icon} />
          {label}
        </Link>
      ))}
    </nav>
  );
}

/** The same on small screens. */
function Drawer() {
  const [isOpen, setOpen] = useState(false);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: closes when a page was chosen.
  useEffect(() => setOpen(false), [path]);
  return (
    <Dialog.Root open={isOpen} onOpenChange={setOpen}>
      <Dialog.Trigger className="button button-quiet button-icon drawer-button" aria-label="Pages">
        <Icon name="menu" />
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="drawer" aria-label="Pages">
          <Logo />
          <Places />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function UserMenu() {
  const { user } = useViewer();
  return (
    <Menu.Root>
      <Menu.Trigger className="user-button" aria-label={`Account of ${user.email}`}>
        <span className="avatar" aria-hidden="true">
          {user.username.charAt(0).toUpperCase()}
        </span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner align="end" sideOffset={6}>
          <Menu.Popup className="menu">
            <Menu.Group>
              <Menu.GroupLabel className="menu-head">
                <strong>{user.username}</strong>
                <span className="quiet small">{user.email}</span>
                <span className="quiet small">{user.tenant?.name}</span>
              </Menu.GroupLabel>
              <Menu.Item className="menu-item" onClick={signOut}>
                <Icon name="out" />
                Sign out
              </Menu.Item>
            </Menu.Group>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

function useShortcut(open: () => void): void {
  useEffect(() => {
    function hear(event: KeyboardEvent): void {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      open();
    }
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, [open]);
}

export function NotFound() {
  return (
    <div className="page">
      <div className="empty">
        <h1>This page does not exist</h1>
        <p>It may have been renamed, or you may not see what it is about.</p>
        <Link to="/" className="button button-plain">
          To the overview
        </Link>
      </div>
    </div>
  );
}

export function PageError({ error, reset }: ErrorComponentProps) {
  return (
    <div className="page">
      <div className="empty">
        <h1>This page failed</h1>
        <p>{error instanceof Error ? error.message : "It does not say why."}</p>
        <Button onClick={reset}>Try again</Button>
      </div>
    </div>
  );
}
