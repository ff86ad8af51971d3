// What the server says, as types. docs/reference/console.md describes the documents.

export type State = 'starting' | 'snapshotting' | 'streaming' | 'paused' | 'error';

export interface Failure {
  code: string;
  message: string;
  detail: string | null;
  hint: string | null;
}

/** Who looks. */
export interface Me {
  /** Whether anybody has to show who they are. */
  authentication: boolean;
  role: string | null;
  key: string | null;
  admin: boolean;
  sql: boolean;
  /** The project's name. */
  project: string;
}

export interface Uncertain {
  from: string;
  to: string | null;
  from_time: string;
  to_time: string | null;
  reason: string;
}

export interface TableStatus {
  name: string;
  warehouse_name: string;
  state: string;
  reason: string | null;
  rows: number | null;
  history_rows: number | null;
  history_since: string | null;
  applied_lsn: string | null;
  applied_at: string | null;
  uncertain: Uncertain[];
  quarantined: number;
  broken_dependents: string[];
}

export interface Status {
  name: string;
  state: State;
  reason: string | null;
  source: {
    address: string;
    slot: string;
    publication: string;
    current_lsn: string | null;
    flushed_lsn: string | null;
    lag_bytes: number | null;
    lag_seconds: number | null;
    wal_retained_bytes: number | null;
  };
  log: { first_position: string | null; last_position: string | null; bytes: number; bytes_max: number };
  warehouse: { applied_lsn: string | null; bytes: number; rebuilt: unknown };
  tables: TableStatus[];
  error: Failure | null;
}

export interface Sample {
  at: string;
  state: State;
  current_lsn: string | null;
  flushed_lsn: string | null;
  applied_lsn: string | null;
  lag_bytes: number | null;
  lag_seconds: number | null;
  wal_retained_bytes: number | null;
  /** WAL that is in the log and not in the warehouse yet. */
  waiting_bytes: number;
  log_bytes: number;
  log_bytes_max: number;
  rows_applied: number;
  transactions_applied: number;
  error: Failure | null;
}

export interface Column {
  name: string;
  type: string;
}

export interface TableColumn extends Column {
  source_type?: string | null;
  key: boolean;
  nullable?: boolean | null;
}

export interface Table {
  name: string;
  warehouse: { schema: string; name: string };
  kind: 'table' | 'view';
  /** Of a model: it holds rows of its own, those that it was last built from. */
  holds?: boolean;
  columns: TableColumn[];
  /** Whether who looks may read its history. */
  history: boolean;
  history_since: string | null;
  /** How its schema changed, oldest first. */
  changes: SchemaChange[];
}

/** A part of a change of a schema; types are those of the source. */
export type SchemaStep =
  | { change: 'column_added'; column: string; to: string }
  | { change: 'column_dropped'; column: string; from: string }
  | { change: 'column_renamed'; from: string; to: string }
  | { change: 'column_retyped'; column: string; from: string; to: string }
  | { change: 'column_widened'; column: string; from: string }
  | { change: 'key_changed'; from: string[]; to: string[] }
  | { change: 'table_renamed'; from: string; to: string };

export interface SchemaChange {
  /** When and where the first row of the new schema was. */
  at: string | null;
  lsn: string;
  steps: SchemaStep[];
}

/** A cell is the text that the warehouse prints, so that no digit is lost on the way; null is NULL. */
export type Cell = string | null;

export interface Rows {
  columns: Column[];
  rows: Cell[][];
  position: string;
  total_estimate?: number | null;
}

export interface Answer {
  columns: Column[];
  rows: Cell[][];
  position: string;
  elapsed_ms: number;
  truncated: boolean;
}

export interface Version {
  values: Cell[];
  valid_from: string;
  valid_to: string | null;
  operation: string;
  lsn: string;
  seq: number;
  lsn_to: string | null;
  seq_to: number | null;
}

export interface RowHistory {
  columns: Column[];
  versions: Version[];
  /** There are older versions than these. */
  truncated: boolean;
}

export interface EndpointParameter {
  name: string;
  type: string;
  default?: string | number | boolean | null;
  enum?: (string | number)[] | null;
  min?: number | null;
  max?: number | null;
  required?: boolean;
}

export interface Endpoint {
  path: string;
  description: string | null;
  params: EndpointParameter[];
  cache_seconds: number | null;
  live: boolean;
  /** Null to who may only call it. */
  file: string | null;
  /** What is wrong with its file or its statement: what happened, and lines of detail. */
  error: string | null;
}

export type ChartKind = 'number' | 'line' | 'bar' | 'stacked' | 'pie' | 'table' | 'images';

export interface ChartSpec {
  title: string;
  kind: ChartKind;
  sql?: string | null;
  endpoint?: string | null;
  x?: string | null;
  y?: string | null;
  color?: string | null;
}

export interface Dashboard {
  name: string;
  title: string;
  description: string | null;
  /** Null but for whoever sees the whole project, as is the SQL of its charts. */
  file: string | null;
  charts: ChartSpec[];
  error: string | null;
}

/** A query of the project's own, a file in queries/. */
export interface ProjectQuery {
  name: string;
  title: string;
  description: string | null;
  file: string | null;
  sql: string | null;
  error: string | null;
}

/** What reading tables again changed. */
export interface Resynced {
  tables: { name: string; inserted: number; updated: number; deleted: number }[];
}

export type LineageKind = 'source' | 'table' | 'model' | 'endpoint' | 'dashboard';

export interface LineageNode {
  id: string;
  kind: LineageKind;
  label: string;
}

export interface Lineage {
  nodes: LineageNode[];
  edges: [string, string][];
}

export type NodeResource = 'model' | 'seed' | 'snapshot' | 'source' | 'exposure';

/** As dbt says how a node ended: success, pass, warn, fail, error, skipped, no-op, … */
export type RunStatus = string;

export interface TestCounts {
  total: number;
  pass: number;
  warn: number;
  fail: number;
  error: number;
  skipped: number;
}

/** A node of the dbt project that is built in the warehouse. */
export interface ModelNode {
  id: string;
  resource: NodeResource;
  name: string;
  package: string;
  path: string;
  description: string;
  tags: string[];
  materialized: string | null;
  relation: { schema: string; name: string } | null;
  parents: string[];
  /** By the last status of each; the rest never ran. */
  tests: TestCounts;
  last: { status: RunStatus; at: string; seconds: number; message: string | null } | null;
}

export interface ProjectRun {
  id: string;
  verb: string;
  at: string;
  seconds: number;
  counts: Partial<Record<RunStatus, number>>;
}

/** A node of a run, or a test. What only the project tells is null once it has neither any more. */
export interface RunNode {
  id: string;
  resource: string | null;
  name: string | null;
  /** Of a test: the nodes that it is of. */
  about: string[] | null;
  status: RunStatus;
  at: string;
  seconds: number;
  failures: number | null;
  /** Those that were written, where the warehouse told. */
  rows: number | null;
  message: string | null;
}

export interface RunDetail extends ProjectRun {
  /** In the order in which they began. */
  nodes: RunNode[];
  /** How many more there were. */
  no_longer_kept: number;
}

/** What a column is made of, or what is made of it, a number of edges away. */
export interface LineageStep {
  depth: number;
  node: string;
  /** Null: all rows of the node. */
  column: string | null;
  way: 'from' | 'by' | 'rows';
  /** Whether what is behind it stands before. */
  again: boolean;
  unknown: string | null;
}

export interface ColumnLineage {
  node: string;
  column: string;
  /** Why it is not known what all it is made of. */
  unknown: string | null;
  upstream: LineageStep[];
  upstream_count: number;
  downstream: LineageStep[];
  downstream_count: number;
  /** Nodes that may read it, too. */
  not_followed: { node: string; unknown: string }[];
}

export interface Models {
  /** Null where there is no dbt project. */
  project: string | null;
  nodes: ModelNode[];
  /** The last ones, newest first. */
  runs: ProjectRun[];
}

/** How a node or a test ended in one run. */
export interface NodeResult {
  run: string;
  status: RunStatus;
  at: string;
  seconds: number;
  failures: number | null;
  message: string | null;
}

export interface ModelCheck {
  id: string;
  name: string;
  /** The generic test that it is of. */
  kind: string | null;
  column: string | null;
  severity: string;
  path: string;
  compiled: string | null;
  /** Newest first. */
  history: NodeResult[];
}

export interface ModelColumn {
  name: string;
  type: string | null;
  description: string;
  tests: string[];
}

export interface Model extends ModelNode {
  raw: string | null;
  compiled: string | null;
  children: string[];
  columns: ModelColumn[];
  checks: ModelCheck[];
  /** Newest first. */
  history: NodeResult[];
}
