import { sentence } from "../format/words.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Table } from "../ui/table.tsx";
import type { AccessQuery } from "./access.operations.ts";
import type { Step } from "./step.ts";

type Group = NonNullable<NonNullable<AccessQuery["roleMappings"]>["nodes"][number]>;

export function GroupsCard({
  groups,
  onStep,
}: {
  readonly groups: readonly Group[];
  readonly onStep: (step: Step) => void;
}) {
  return (
    <Card
      title="Groups"
      about="Roles of those whom an identity provider says to be in a group."
      actions={
        <Button isSmall kind="primary" onClick={() => onStep({ is: "map a group" })}>
          Map a group
        </Button>
      }
      isFlush
    >
      {groups.length === 0 ? (
        <Empty title="No group has a role">Map one where people sign in by a provider.</Empty>
      ) : (
        <Table columns={["Group", "Role", "Tenant"]} hasActions>
          {groups.map(({ mappingId: id, groupName: name, role, tenant }) => (
            <tr key={id}>
              <th scope="row">{name}</th>
              <td>{sentence(role?.name ?? "")}</td>
              <td>{tenant?.name ?? "all"}</td>
              <td className="right">
                <Button
                  isSmall
                  kind="quiet"
                  onClick={() => onStep({ is: "end a mapping", id, name })}
                  aria-label={`End the mapping of ${name}`}
                >
                  End
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}
