/** A subscription over the protocol graphql-transport-ws, as a browser's client speaks it. */
export interface Subscription {
  /** The next result; undefined when the server has completed the stream or hung up. */
  // biome-ignore lint/suspicious/noExplicitAny: what a test asks for is what it gets.
  next(): Promise<any>;
  close(): void;
}

interface Message {
  readonly type: string;
  readonly payload?: unknown;
}

export async function subscribe(
  url: string,
  query: string,
  variables: Record<string, unknown> = {},
  accessToken?: string,
): Promise<Subscription> {
  const socket = new WebSocket(new URL("/graphql", url.replace("http", "ws")), [
    "graphql-transport-ws",
  ]);
  const arrived: (Message | undefined)[] = [];
  const waiting: ((message: Message | undefined) => void)[] = [];
  const deliver = (message: Message | undefined) => {
    const receiver = waiting.shift();
    if (receiver === undefined) arrived.push(message);
    else receiver(message);
  };
  const receive = async () =>
    arrived.length > 0
      ? arrived.shift()
      : new Promise<Message | undefined>((resolve) => waiting.push(resolve));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data) as Message;
    if (message.type === "ping") socket.send('{"type":"pong"}');
    else deliver(message);
  };
  socket.onclose = () => deliver(undefined);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const send = (message: object) => socket.send(JSON.stringify(message));
  const payload = accessToken && { authorization: `Bearer ${accessToken}` };
  send({ type: "connection_init", payload });
  await receive();
  send({ id: "1", type: "subscribe", payload: { query, variables } });
  return {
    async next() {
      const message = await receive();
      if (message === undefined || message.type === "complete") return undefined;
      return message.type === "error" ? { errors: message.payload } : message.payload;
    },
    close: () => socket.close(),
  };
}

/** A socket that the server has greeted, for what one subscription alone does not show. */
export async function openSocket(
  url: string,
  accessToken: string,
  header = "authorization",
): Promise<WebSocket> {
  const socket = new WebSocket(new URL("/graphql", url.replace("http", "ws")), [
    "graphql-transport-ws",
  ]);
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const payload = { [header]: `Bearer ${accessToken}` };
  const greeted = new Promise((resolve) => {
    socket.onmessage = resolve;
  });
  socket.send(JSON.stringify({ type: "connection_init", payload }));
  await greeted;
  return socket;
}
