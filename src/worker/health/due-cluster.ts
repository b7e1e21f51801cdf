/** A cluster to probe now, as probe_clusters() answers it. */
export interface DueCluster {
  readonly cluster_id: string;
  readonly health_check_url: string;
  /** Names this probe: its result counts only until the next one. */
  readonly asked_at: Date;
}
