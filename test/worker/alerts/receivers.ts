import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpReceiver {
  readonly url: string;
  readonly received: Received[];
  /** What it answers next: a status, or "never". */
  answer: number | "never";
  location?: string;
}

/** A real web server on this machine. */
export async function startHttpReceiver(): Promise<HttpReceiver> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      receiver.received.push({ headers: request.headers, body });
      if (receiver.answer === "never") return;
      if (receiver.location) response.setHeader("location", receiver.location);
      if (receiver.answer === 101) {
        response.setHeader("connection", "upgrade").setHeader("upgrade", "websocket");
      }
      response.writeHead(receiver.answer).end("thanks");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: HttpReceiver = {
    url: `http://127.0.0.1:${port}/hook`,
    received: [],
    answer: 200,
  };
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return receiver;
}

export interface Mail {
  readonly from: string;
  readonly to: string[];
  readonly data: string;
}

export interface SmtpReceiver {
  readonly url: string;
  readonly mails: Mail[];
  /** Refuses recipients, as a server does that is too busy. */
  isBusy: boolean;
  /** Addresses that it does not know. */
  readonly unknown: Set<string>;
}

/** A real mail server on this machine, as much of one as it takes (RFC 5321). */
export async function startSmtpReceiver(): Promise<SmtpReceiver> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    converse(socket, receiver);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: SmtpReceiver = {
    url: `smtp://127.0.0.1:${port}`,
    mails: [],
    isBusy: false,
    unknown: new Set(),
  };
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return receiver;
}

function converse(socket: Socket, receiver: SmtpReceiver): void {
  let mail = { from: "", to: [] as string[], data: "" };
  let isData = false;
  let buffered = "";
  const say = (line: string) => socket.write(`${line}\r\n`);
  const commands: Readonly<Record<string, (line: string) => void>> = {
    EHLO: () => say("250 here"),
    HELO: () => say("250 here"),
    MAIL: (line) => {
      mail = { from: line, to: [], data: "" };
      say("250 ok");
    },
    RCPT: (line) => {
      if (receiver.isBusy) return say("451 too busy");
      const address = /<(.*)>/.exec(line)?.[1] ?? "";
      if (receiver.unknown.has(address)) return say("550 no such user");
      mail.to.push(address);
      return say("250 ok");
    },
    DATA: () => {
      isData = true;
      say("354 go on");
    },
    QUIT: () => {
      say("221 bye");
      socket.end();
    },
  };
  const hear = (line: string) => {
    if (!isData) {
      (commands[line.slice(0, 4).toUpperCase()] ?? (() => say("250 ok")))(line);
      return;
    }
    if (line === ".") {
      isData = false;
      receiver.mails.push(mail);
      say("250 taken");
    } else mail.data += `${line}\n`;
  };
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    buffered += chunk;
    const lines = buffered.split("\r\n");
    buffered = lines.pop() ?? "";
    for (const line of lines) hear(line);
  });
  say("220 test");
}

export interface SilentServer {
  readonly port: number;
  /** The first connection, and its end. */
  readonly connected: Promise<void>;
  readonly closed: Promise<void>;
}

/** Takes connections and never says anything. */
export async function startSilentServer(): Promise<SilentServer> {
  const server = createTcpServer();
  const first = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const closed = first.then(
    (socket) =>
      new Promise<void>((resolve) => {
        socket.on("error", () => {});
        socket.on("close", () => resolve());
        socket.resume();
      }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connected: first.then(() => {}),
    closed,
  };
}
