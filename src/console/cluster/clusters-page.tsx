import { useQuery } from "urql";
import { Freshness } from "../live/freshness.tsx";
import { useLive } from "../live/use-live.ts";
import { ClusterCards } from "../overview/cluster-cards.tsx";
import { OverviewStatusDocument } from "../overview/overview.operations.ts";
import { present } from "../overview/rates.ts";
import { Page } from "../ui/page.tsx";
import { ClustersDocument } from "./cluster.operations.ts";

export default function ClustersPage() {
  const [{ data }] = useQuery({ query: ClustersDocument });
  const { data: live, heardAt } = useLive(OverviewStatusDocument, {});
  return (
    <Page
      title="Clusters"
      about="The storage that applications share."
      actions={<Freshness heardAt={heardAt} />}
    >
      <ClusterCards
        clusters={data && present(data.clusters?.nodes)}
        buckets={present(live?.overviewStatus?.buckets)}
        usage={present(live?.overviewStatus?.usage)}
      />
    </Page>
  );
}
