import { CSPProvider } from "@base-ui/react/csp-provider";
import { Toast } from "@base-ui/react/toast";
import { Tooltip } from "@base-ui/react/tooltip";
import { RouterProvider } from "@tanstack/react-router";
import { Provider } from "urql";
import { graphqlClient } from "./api/client.ts";
import { router } from "./router.tsx";
import { InvitationPage, isInvitation } from "./session/invitation-page.tsx";
import { SessionGate } from "./session/session-gate.tsx";
import { Toasts } from "./ui/toasts.tsx";

export function Console() {
  return (
    <CSPProvider disableStyleElements>
      <Tooltip.Provider delay={300}>
        <Toast.Provider timeout={6_000}>
          <Provider value={graphqlClient}>
            {isInvitation() ? (
              <InvitationPage />
            ) : (
              <SessionGate>
                <RouterProvider router={router} />
              </SessionGate>
            )}
          </Provider>
          <Toasts />
        </Toast.Provider>
      </Tooltip.Provider>
    </CSPProvider>
  );
}
