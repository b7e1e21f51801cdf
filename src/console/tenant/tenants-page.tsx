import { Link } from "@tanstack/react-router";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { short } from "../format/amount.ts";
import { present } from "../overview/rates.ts";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Loading } from "../ui/loading.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { TenantsDocument } from "./tenant.operations.ts";

export default function TenantsPage() {
  const [{ data, error }] = useQuery({ query: TenantsDocument });
  const problem = problemOfAnswer(error);
  return (
    <Page title="Tenants" about="Who the store is shared by, and how much each may give out.">
      <Card title="All tenants" isFlush>
        {problem && <ProblemNote problem={problem} />}
        {!data && !problem && <Loading />}
        {data && (
          <Table columns={["Tenant", "Ceilings"]} amounts={["Applications", "Users"]}>
            {present(data.tenants?.nodes).map((tenant) => (
              <tr key={tenant.tenantId}>
                <th scope="row">
                  <Link to="/tenants/$tenantId" params={{ tenantId: tenant.tenantId }}>
                    {tenant.name}
                  </Link>{" "}
                  {!tenant.isActive && <Badge tone="bad">inactive</Badge>}
                  <div className="quiet small">{tenant.description}</div>
                </th>
                <td>
                  {tenant.ceilings.totalCount === 0 ? (
                    <span className="quiet">none</span>
                  ) : (
                    tenant.ceilings.totalCount
                  )}
                </td>
                <td className="right">{short(tenant.applications.totalCount)}</td>
                <td className="right">{short(tenant.users.totalCount)}</td>
              </tr>
            ))}
          </Table>
        )}
      </Card>
    </Page>
  );
}
