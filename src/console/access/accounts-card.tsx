import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Moment } from "../ui/moment.tsx";
import { Table } from "../ui/table.tsx";
import type { AccessQuery } from "./access.operations.ts";
import type { Step } from "./step.ts";

type Account = NonNullable<NonNullable<AccessQuery["users"]>["nodes"][number]>;
type Token = NonNullable<Account["serviceTokens"]["nodes"][number]>;
type OnStep = (step: Step) => void;

export function AccountsCard({
  accounts,
  onStep,
}: {
  readonly accounts: readonly Account[];
  readonly onStep: OnStep;
}) {
  return (
    <Card
      title="Service accounts"
      about="Accounts of programs, which come in by tokens."
      actions={
        <Button isSmall kind="primary" onClick={() => onStep({ is: "make an account" })}>
          Make an account
        </Button>
      }
      isFlush
    >
      {accounts.length === 0 ? (
        <Empty title="No program has an account">Make one for a program that asks the API.</Empty>
      ) : (
        <Table columns={["Account", "Roles", "Tokens"]} hasActions>
          {accounts.map((account) => (
            <Row key={account.userId} account={account} onStep={onStep} />
          ))}
        </Table>
      )}
    </Card>
  );
}

function Row({ account, onStep }: { readonly account: Account; readonly onStep: OnStep }) {
  const { userId, username: name } = account;
  return (
    <tr>
      <th scope="row">
        <span className="strong">{name}</span>
        <div className="quiet small">{account.tenant?.name}</div>
      </th>
      <td className="wraps">
        <span className="row">
          {present(account.userRoles.nodes).map(({ userRoleId, role }) => (
            <Badge key={userRoleId} tone="info">
              {sentence(role?.name ?? "")}
            </Badge>
          ))}
        </span>
      </td>
      <td>
        {present(account.serviceTokens.nodes).map((token) => (
          <TokenLine key={token.tokenId} token={token} onStep={onStep} />
        ))}
      </td>
      <td className="right">
        <Button
          isSmall
          kind="quiet"
          onClick={() => onStep({ is: "make a token", userId, name })}
          aria-label={`Make a token of ${name}`}
        >
          Make a token
        </Button>
      </td>
    </tr>
  );
}

function TokenLine({ token, onStep }: { readonly token: Token; readonly onStep: OnStep }) {
  const name = token.name ?? `${token.prefix}…`;
  return (
    <div className="row">
      <span className="strong">{name}</span> <code className="quiet">{token.prefix}…</code>
      {token.expiresAt && (
        <span className="quiet small">
          until <Moment at={token.expiresAt} />
        </span>
      )}
      <Button
        isSmall
        kind="quiet"
        onClick={() => onStep({ is: "revoke a token", id: token.tokenId ?? "", name })}
        aria-label={`Revoke the token ${name}`}
      >
        Revoke
      </Button>
    </div>
  );
}
