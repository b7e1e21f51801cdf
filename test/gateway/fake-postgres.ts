import { createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";

/** What a statement is answered with. */
export interface FakeAnswer {
  /** Column name, type and text of the one row. */
  readonly row?: readonly (readonly [name: string, oid: number, text: string])[];
  readonly error?: Readonly<Record<string, string>>;
  /** A notice goes ahead at once, whenever the rest comes. */
  readonly notice?: Readonly<Record<string, string>>;
  readonly afterMs?: number;
  /** What ReadyForQuery says of the transaction. */
  readonly state?: "I" | "T" | "E";
}

export interface FakeQuestion {
  readonly statement: string;
  readonly parameters: readonly { readonly oid: number; readonly text: string | null }[];
  /** Of the connection, from 1. */
  readonly connection: number;
}

export interface FakeOptions {
  readonly answer: (question: FakeQuestion) => FakeAnswer;
  /** With it, TLS is taken, and channel binding offered as PostgreSQL offers it. */
  readonly tls?: SecureContext;
  readonly password?: string;
  /** Parameters that the server reports at the start of a session. */
  readonly parameters?: Readonly<Record<string, string>>;
}

export interface FakePostgres {
  readonly port: number;
  /** What sessions started with. */
  readonly startups: readonly Readonly<Record<string, string>>[];
  close(): Promise<void>;
}

/** Speaks PostgreSQL's protocol, and does on request what a real server does seldom. */
export async function fakePostgres(options: FakeOptions): Promise<FakePostgres> {
  const sockets = new Set<Socket>();
  const startups: Record<string, string>[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    connections += 1;
    const session = new FakeSession(options, connections, startups);
    session.listen(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    startups,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

class FakeSession {
  readonly #options: FakeOptions;
  readonly #number: number;
  readonly #startups: Record<string, string>[];
  #socket!: Socket;
  #received = Buffer.alloc(0);
  #isStarted = false;
  #scram: Scram | undefined;
  #statement = "";
  #oids: number[] = [];
  #parameters: FakeQuestion["parameters"] = [];

  constructor(options: FakeOptions, number: number, startups: Record<string, string>[]) {
    this.#options = options;
    this.#number = number;
    this.#startups = startups;
  }

  listen(socket: Socket): void {
    this.#socket = socket;
    socket.on("data", (data) => {
      this.#received = Buffer.concat([this.#received, data]);
      while (this.#takeMessage());
    });
  }

  #takeMessage(): boolean {
    const head = this.#isStarted ? 1 : 0;
    if (this.#received.length < head + 4) return false;
    const length = this.#received.readInt32BE(head);
    if (this.#received.length < head + length) return false;
    const type = this.#received.toString("latin1", 0, head);
    const body = this.#received.subarray(head + 4, head + length);
    this.#received = this.#received.subarray(head + length);
    if (this.#isStarted) this.#handle(type, body);
    else this.#start(body);
    return true;
  }

  #start(body: Buffer): void {
    if (body.readInt32BE(0) === 80_877_103) {
      this.#secure();
      return;
    }
    const words = body.toString("utf8", 4).split("\0");
    const settings: Record<string, string> = {};
    for (let i = 0; i + 1 < words.length; i += 2) {
      if (words[i]) settings[words[i] as string] = words[i + 1] as string;
    }
    this.#startups.push(settings);
    this.#isStarted = true;
    if (this.#options.password === undefined) this.#welcome();
    else this.#send("R", int32(10), `${this.#mechanisms().join("\0")}\0\0`);
  }

  #mechanisms(): string[] {
    const isSecure = this.#socket instanceof TLSSocket;
    return isSecure ? ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] : ["SCRAM-SHA-256"];
  }

  #secure(): void {
    this.#socket.write(this.#options.tls === undefined ? "N" : "S");
    if (this.#options.tls === undefined) return;
    this.#socket.removeAllListeners("data");
    const secure = new TLSSocket(this.#socket, {
      isServer: true,
      secureContext: this.#options.tls,
    });
    secure.on("error", () => secure.destroy());
    this.listen(secure);
  }

  #handle(type: string, body: Buffer): void {
    if (type === "p") this.#authenticate(body);
    else if (type === "P") this.#parse(body);
    else if (type === "B") this.#bind(body);
    else if (type === "S") void this.#answer();
  }

  #authenticate(body: Buffer): void {
    if (this.#scram === undefined) {
      const place = body.indexOf(0) + 5;
      this.#scram = new Scram(this.#options.password ?? "", body.toString("utf8", place));
      this.#send("R", int32(11), this.#scram.first);
      return;
    }
    this.#send("R", int32(12), this.#scram.last(body.toString("utf8")));
    this.#welcome();
  }

  #welcome(): void {
    this.#send("R", int32(0));
    for (const [name, value] of Object.entries(this.#options.parameters ?? {})) {
      this.#send("S", `${name}\0${value}\0`);
    }
    this.#send("Z", "I");
  }

  #parse(body: Buffer): void {
    const [, statement = ""] = body.toString("utf8").split("\0");
    const place = 1 + Buffer.byteLength(statement) + 1;
    this.#statement = statement;
    const count = body.readInt16BE(place);
    this.#oids = Array.from({ length: count }, (_, i) => body.readInt32BE(place + 2 + i * 4));
    this.#send("1");
  }

  #bind(body: Buffer): void {
    let place = 6;
    this.#parameters = this.#oids.map((oid) => {
      const length = body.readInt32BE(place);
      place += 4 + Math.max(length, 0);
      return { oid, text: length < 0 ? null : body.toString("utf8", place - length, place) };
    });
    this.#send("2");
  }

  async #answer(): Promise<void> {
    const question = {
      statement: this.#statement,
      parameters: this.#parameters,
      connection: this.#number,
    };
    const { row, error, notice, afterMs, state = "I" } = this.#options.answer(question);
    if (notice !== undefined) this.#send("N", told(notice));
    if (afterMs !== undefined) await new Promise((resolve) => setTimeout(resolve, afterMs));
    if (error !== undefined) this.#send("E", told(error));
    else this.#sendRow(row ?? []);
    this.#send("Z", state);
  }

  #sendRow(row: NonNullable<FakeAnswer["row"]>): void {
    const names = row.map(([name, oid]) =>
      Buffer.concat([Buffer.from(`${name}\0`), int32(0), int16(0), int32(oid), Buffer.alloc(8)]),
    );
    const values = row.map(([, , text]) =>
      Buffer.concat([int32(Buffer.byteLength(text)), Buffer.from(text)]),
    );
    this.#send("T", int16(row.length), ...names);
    this.#send("D", int16(row.length), ...values);
    this.#send("C", "SELECT 1\0");
  }

  #send(type: string, ...parts: readonly (Buffer | string)[]): void {
    if (this.#socket.destroyed) return;
    const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
    this.#socket.write(Buffer.concat([Buffer.from(type), int32(body.length + 4), body]));
  }
}

/** The server's side of SCRAM-SHA-256. Whether the client knows the password is not looked at. */
class Scram {
  readonly first: string;
  readonly #clientFirst: string;
  readonly #salted: Buffer;

  constructor(password: string, clientFirst: string) {
    const salt = randomBytes(16);
    this.#clientFirst = clientFirst.replace(/^n,,/, "");
    const nonce = `${/r=(.*)$/.exec(clientFirst)?.[1]}${randomBytes(12).toString("base64")}`;
    this.first = `r=${nonce},s=${salt.toString("base64")},i=4096`;
    this.#salted = pbkdf2Sync(password, salt, 4096, 32, "sha256");
  }

  last(clientFinal: string): string {
    const withoutProof = clientFinal.replace(/,p=.*$/s, "");
    const message = `${this.#clientFirst},${this.first},${withoutProof}`;
    return `v=${hmac(hmac(this.#salted, "Server Key"), message).toString("base64")}`;
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function told(fields: Readonly<Record<string, string>>): string {
  const list = Object.entries(fields).map(([letter, text]) => `${letter}${text}\0`);
  return `${list.join("")}\0`;
}

function int32(number: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(number);
  return buffer;
}

function int16(number: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(number);
  return buffer;
}
