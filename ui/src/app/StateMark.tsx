// The state of the whole or of a table: a word with a mark before it.

const KINDS: Record<string, string> = {
  streaming: 'good',
  live: 'good',
  starting: 'waiting',
  snapshotting: 'waiting',
  loading: 'waiting',
  catching_up: 'waiting',
  paused: 'amber',
  needs_resync: 'amber',
  error: 'red',
  gone: 'gone',
};

export function StateMark({ state }: { state: string | null }) {
  return (
    <span className={`state ${state === null ? '' : (KINDS[state] ?? '')}`}>
      {state?.replaceAll('_', ' ') ?? 'unknown'}
    </span>
  );
}
