/** What a caller was told by an answer, kept by the caller. */
export interface Receipt {
  readonly appId: string;
  /** Milliseconds of the machine's clock. */
  readonly at: number;
  /** Tokens of work that the answer let through; negative for a refund. */
  readonly tokens: number;
  /** The reference that the charge is on record under. */
  readonly reference?: string;
  /** `policy`: admitted uncharged by the outage policy of a client. */
  readonly by: "database" | "lease" | "policy";
}

export interface LeaseReceipt {
  readonly appId: string;
  readonly leaseId: string;
  readonly at: number;
  readonly granted: number;
  /** As the database confirmed it at the end; absent where no answer came. */
  readonly settledWith?: number;
}

/** The receipts of one run, of all callers. */
export class Receipts {
  readonly answers: Receipt[] = [];
  readonly leases = new Map<string, LeaseReceipt>();
  /** Denials of layer 1 that an application got within its reservation. */
  readonly breaches: { readonly at: number; readonly reason: string }[] = [];
  readonly loans: { readonly id: string; readonly at: number }[] = [];
  /** Answers by their code, or `allowed` and `denied`. */
  readonly counts = new Map<string, number>();
  /** Answers that no caller should ever get. */
  readonly surprises: string[] = [];
  operations = 0;

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
    this.operations += by;
  }

  surprise(what: string): void {
    if (this.surprises.length < 20) this.surprises.push(what);
  }
}
