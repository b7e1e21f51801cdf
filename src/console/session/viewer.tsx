import { createContext, useContext } from "react";
import type { ViewerQuery } from "./session.operations.ts";

export interface Viewer {
  readonly user: NonNullable<ViewerQuery["viewer"]>;
  /** Such as quota:update. */
  may(permission: string): boolean;
}

export const ViewerContext = createContext<Viewer | undefined>(undefined);

export function useViewer(): Viewer {
  const viewer = useContext(ViewerContext);
  if (viewer === undefined) throw new Error("the page is shown without a sign-in");
  return viewer;
}

/** Whether to show what needs a permission. The API decides by itself. */
export function useMay(permission: string): boolean {
  return useViewer().may(permission);
}
