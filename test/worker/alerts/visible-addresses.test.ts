import { describe, expect, test } from "vitest";
import { makeAddressGuard } from "../../../src/worker/alerts/address-guard.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";

const database = await createDatabase();
const isPublicName = async () => [{ address: "8.8.8.8", family: 4 } as const];
const guard = makeAddressGuard([], isPublicName);

/** What a worker does with a URL: Node reads its host, the guard judges it. */
async function isCalled(url: string): Promise<boolean> {
  return guard(new URL(url).hostname).then(
    () => true,
    () => false,
  );
}

async function isRegistered(url: string, allowed: readonly string[] = []): Promise<boolean> {
  const asking = database.sql`
    select rate_limiter_internal.require_public_host(${url}, ${[...allowed]}::inet[], 'SETTING')
  `;
  return asking.then(
    () => true,
    async () => {
      await expectSqlState(asking, "QS422", "address is not public");
      return false;
    },
  );
}

const hidden = [
  ...["10.0.0.1", "127.0.0.1", "127.0.0.1.", "169.254.169.254", "192.168.1.1", "172.31.255.255"],
  ...["0.0.0.0", "0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"],
  // One to four numbers, decimal, octal and hexadecimal.
  ...["2130706433", "017700000001", "0x7f000001", "0x7F.1", "0x7f.0x0.0.1", "127.1", "127.0.1"],
  ...["0177.0.0.1", "10.1", "0xa9fea9fe", "0xa.0.0.0x1", "0000000000012.1", "0x"],
  // IPv6, and what embeds IPv4: mapped, compatible, translated (NAT64), 6to4, Teredo.
  ...["[::]", "[::1]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]"],
  ...["[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::ffff:8.8.8.8]", "[::127.0.0.1]"],
  ...["[64:ff9b::10.0.0.1]", "[64:ff9b:1::a00:1]", "[64:ff9b::8.8.8.8]", "[2002:a00:1::]"],
  ...["[2001::1]", "[100::1]", "[100:1::1]", "[0:1::1]", "[200::1]", "[3fff::1]", "[5f00::1]"],
];
const plain = [
  ...["8.8.8.8", "134744072", "0x8.8.8.8", "010.8.8.8", "172.32.0.1", "100.128.0.1", "11.1"],
  ...[
    "[2606:4700::1111]",
    "[2003::1]",
    "[2001:200::1]",
    "example.org",
    "10.example",
    "0x7f.example",
  ],
  ...["a.b.c.d.e.f", "1.2.3.4.5.example", "xn--bcher-kva.example", "under_score.example"],
];

describe("what the database refuses people, as the worker would", () => {
  test.each(hidden)("http://%s/", async (host) => {
    expect(await isCalled(`http://${host}/`)).toBe(false);
    expect(await isRegistered(`http://${host}:8080/path?x=1`)).toBe(false);
  });

  test.each(["localhost", "LOCALHOST.", "a.localhost"])("http://%s/ by its name", async (host) => {
    expect(await isRegistered(`https://${host}/`)).toBe(false);
  });

  test.each(["%31%32%37.0.0.1", "１２７.0.0.1", "127。0.0.1", "①.1"])(
    "http://%s/, which hides an address",
    async (host) => {
      expect(await isRegistered(`http://${host}/`)).toBe(false);
    },
  );

  test.each(plain)("and takes http://%s/", async (host) => {
    expect(await isCalled(`http://${host}/`)).toBe(true);
    expect(await isRegistered(`http://${host}/`)).toBe(true);
  });

  test("and thousands of addresses alike", async () => {
    // A fixed sequence, so that a difference is found again.
    let state = 17;
    const next = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state;
    };
    const word = () => (next() % 3 === 0 ? 0 : next() % 65_536).toString(16);
    const heads = [":", "64:ff9b:", "2001:", "2002:", "fc00:", "3fff:", "2400:", "fe80:", "100:"];
    const hosts = Array.from({ length: 3_000 }, (_, index) =>
      index % 2 === 0
        ? `${next() % 256}.${next() % 256}.${next() % 256}.${next() % 256}`
        : `[${heads[next() % heads.length]}:${word()}:${word()}]`,
    );
    const rows = await database.sql`
      select h.host, rate_limiter_internal.is_public_address(
        rate_limiter_internal.literal_address(h.host)
      ) as taken
      from unnest(${hosts}::text[]) with ordinality as h (host, position)
      order by h.position
    `;
    const called = await Promise.all(hosts.map((host) => isCalled(`http://${host}/`)));
    expect(rows.map(({ host, taken }) => [host, taken])).toEqual(
      hosts.map((host, index) => [host, called[index]]),
    );
    expect(new Set(called)).toEqual(new Set([true, false]));
  });

  test("but for networks that a worker allows", async () => {
    const allowed = ["10.1.0.0/16", "fd00::/8"];
    expect(await isRegistered("http://10.1.2.3/", allowed)).toBe(true);
    expect(await isRegistered("http://[fd00::1]/", allowed)).toBe(true);
    expect(await isRegistered("http://10.2.0.1/", allowed)).toBe(false);
  });
});
