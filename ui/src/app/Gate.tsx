// Who looks: where the project has keys, a key is asked for once, and the server keeps the session in a cookie that no script reads.

import { type FormEvent, type ReactNode, useEffect, useState } from 'react';
import { getJson, LOCKED, type Problem, postJson, problemOf } from '../api/client';
import type { Me } from '../api/contract';
import { useResource } from '../api/resource';
import { MeContext } from './me';
import { ErrorNote } from './Notes';

async function logOut() {
  await fetch('/api/logout', { method: 'POST' });
  window.location.reload();
}

function Login({ onDone }: { onDone: () => void }) {
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState<Problem>();
  const begin = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await postJson<Me>('/api/login', { key: key.trim() });
      onDone();
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <main className="gate">
      <form className="card gate-card" onSubmit={begin}>
        <h1>Millstream</h1>
        <label>
          Key
          <input
            className="field"
            type="password"
            // biome-ignore lint/a11y/noAutofocus: the page asks one thing
            autoFocus
            autoComplete="current-password"
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        </label>
        <p className="quiet">
          One that <code>millstream keys create</code> made. The pages show what its role may see. It stays in this
          browser for twelve hours, as a cookie that no script can read.
        </p>
        {problem ? <ErrorNote problem={problem} /> : null}
        <p>
          <button type="submit" className="button first" disabled={key.trim() === ''}>
            Log in
          </button>
        </p>
      </form>
    </main>
  );
}

export function LogOut() {
  return (
    <button type="button" className="button" onClick={() => void logOut()}>
      Log out
    </button>
  );
}

export function Gate({ children }: { children: ReactNode }) {
  const me = useResource<Me>('me', (signal) => getJson<Me>('/api/me', signal));
  const { reload } = me;
  useEffect(() => {
    window.addEventListener(LOCKED, reload);
    return () => window.removeEventListener(LOCKED, reload);
  }, [reload]);
  if (me.error?.status === 401) return <Login onDone={reload} />;
  // A server that is away says so on the pages themselves.
  if (me.data === undefined && me.error === undefined) return null;
  return <MeContext.Provider value={me.data ?? null}>{children}</MeContext.Provider>;
}
