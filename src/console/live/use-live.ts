import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { useEffect, useState } from "react";
import { connection, connectionLost } from "../api/connection.ts";
import { renew } from "../session/session.ts";
import { useStore } from "../store.ts";
import { beforeHandshake, socket } from "./socket.ts";

export interface Live<TData> {
  readonly data: TData | undefined;
  /** When it came, by the clock of this machine. */
  readonly heardAt: number | undefined;
}

const firstPauseMs = 500;
const longestPauseMs = 10_000;

/**
 * Follows a subscription while the page is seen. It goes on by itself when the socket breaks, or
 * the sign-in that it began with is renewed.
 */
export function useLive<TData, TVariables extends Record<string, unknown>>(
  document: TypedDocumentNode<TData, TVariables>,
  variables: TVariables,
  onData?: (data: TData) => void,
): Live<TData> {
  const [live, setLive] = useState<Live<TData>>({ data: undefined, heardAt: undefined });
  const isSeen = usePageIsSeen();
  const isThere = useStore(connection) === "there";
  const key = JSON.stringify(variables);

  // biome-ignore lint/correctness/useExhaustiveDependencies: variables are compared by their text.
  useEffect(() => {
    if (!isSeen || !isThere) return;
    return follow(document, variables, (data) => {
      onData?.(data);
      setLive({ data, heardAt: Date.now() });
    });
  }, [document, key, isSeen, isThere]);
  return live;
}

function follow<TData, TVariables extends Record<string, unknown>>(
  document: TypedDocumentNode<TData, TVariables>,
  variables: TVariables,
  hear: (data: TData) => void,
): () => void {
  let isOver = false;
  let pauseMs = firstPauseMs;
  let stop = () => {};

  async function begin(): Promise<void> {
    await beforeHandshake();
    if (isOver) return;
    stop = socket.subscribe<TData>(
      { query: document as unknown as string, variables },
      {
        next({ data }) {
          pauseMs = firstPauseMs;
          if (data && !isOver) hear(data);
        },
        async error(problem) {
          if (problem instanceof Event) connectionLost();
          if (isSignedOut(problem)) await renew();
          again();
        },
        complete: again,
      },
    );
  }

  function again(): void {
    if (isOver) return;
    setTimeout(() => {
      if (!isOver) begin();
    }, pauseMs);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }

  begin();
  return () => {
    isOver = true;
    stop();
  };
}

/** The session of the cookies has ended since they were made. */
function isSignedOut(problem: unknown): boolean {
  return Array.isArray(problem) && problem.some((each) => each?.extensions?.code === "QS401");
}

function usePageIsSeen(): boolean {
  const [isSeen, setSeen] = useState(!document.hidden);
  useEffect(() => {
    const look = () => setSeen(!document.hidden);
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return isSeen;
}
