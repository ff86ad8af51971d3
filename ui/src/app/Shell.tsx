// The frame around every page: navigation, the state of the whole, and what is said when the connection is lost.

import { type ReactNode, useCallback, useEffect, useState } from 'react';
import { useLastSample, useLive } from '../api/live';
import { printClock } from '../format/time';
import { LogOut } from './Gate';
import { Help } from './Help';
import { useKey } from './keys';
import { useMe, useSeesAll } from './me';
import { isIn, pagesFor } from './navigation';
import { Palette } from './Palette';
import { Link, usePlace } from './router';
import { StateMark } from './StateMark';
import { useStatus } from './status';
import { setTheme, type Theme, useTheme } from './theme';

function ThemeChoice() {
  const chosen = useTheme();
  const themes: Theme[] = ['system', 'light', 'dark'];
  return (
    <label className="theme">
      <span>Theme</span>
      <select className="field" value={chosen} onChange={(event) => setTheme(event.target.value as Theme)}>
        {themes.map((theme) => (
          <option key={theme} value={theme}>
            {theme}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The state of the whole, for who sees it. */
function Whole() {
  const sample = useLastSample();
  const status = useStatus().data;
  const { connection } = useLive();
  return (
    <span className="live shell-state">
      <StateMark state={connection === 'lost' ? null : (sample?.state ?? status?.state ?? null)} />
    </span>
  );
}

function Lost() {
  const { connection, since } = useLive();
  useEffect(() => {
    document.documentElement.dataset.connection = connection;
  }, [connection]);
  if (connection !== 'lost' || since === null) return null;
  return (
    <div className="lost" role="status">
      <strong>No connection to Millstream since {printClock(since)}.</strong> What is live is from then. Trying again;
      if it was stopped, <code>millstream up</code> starts it.
    </div>
  );
}

export function Shell({ children }: { children: ReactNode }) {
  const { path } = usePlace();
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const [menu, setMenu] = useState(false);
  const me = useMe();
  const seesAll = useSeesAll();
  const openHelp = useCallback(() => setHelp(true), []);

  useKey('?', openHelp);
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey)
        return;
      event.preventDefault();
      setPalette((open) => !open);
    };
    window.addEventListener('keydown', listen);
    return () => window.removeEventListener('keydown', listen);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the menu
  useEffect(() => setMenu(false), [path]);

  return (
    <div className="shell">
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <header className="shell-side" data-menu={menu ? 'open' : 'closed'}>
        <div className="shell-head">
          <Link to="/" className="shell-name">
            <span className="shell-product">Millstream</span>
            <span className="shell-project">{me?.project ?? '\u00a0'}</span>
          </Link>
          {seesAll ? <Whole /> : null}
          <button type="button" className="button small shell-menu" aria-expanded={menu} onClick={() => setMenu(!menu)}>
            Menu
          </button>
        </div>
        <button type="button" className="shell-search" onClick={() => setPalette(true)}>
          <span>Go to</span>
          <span>
            <kbd>Ctrl</kbd> <kbd>K</kbd>
          </span>
        </button>
        <nav className="shell-navigation" aria-label="Pages">
          {pagesFor(me).map(({ group, pages }) => (
            <div key={group ?? 'first'} className="shell-group">
              {group ? <p className="shell-group-name">{group}</p> : null}
              <ul>
                {pages.map((page) => (
                  <li key={page.path}>
                    <Link to={page.path} className="shell-link" aria-current={isIn(path, page) ? 'page' : undefined}>
                      {page.name}
                    </Link>
                  </li>
                ))}
              </ul>
            </div>
          ))}
        </nav>
        <div className="shell-foot">
          <ThemeChoice />
          <button type="button" className="button bare small" onClick={openHelp}>
            Keys <kbd>?</kbd>
          </button>
          {me?.authentication ? <LogOut /> : null}
        </div>
      </header>
      <main id="page" className="shell-page" tabIndex={-1}>
        {seesAll ? <Lost /> : null}
        {children}
      </main>
      <Palette open={palette} onClose={() => setPalette(false)} onHelp={openHelp} />
      <Help open={help} onClose={() => setHelp(false)} />
    </div>
  );
}

interface PageProps {
  title: string;
  lead?: ReactNode;
  tools?: ReactNode;
  /** The page is as high as the window, and what is inside scrolls. */
  full?: boolean;
  children: ReactNode;
}

/** A page's head and body; the title is the tab's too. */
export function Page({ title, lead, tools, full, children }: PageProps) {
  useEffect(() => {
    document.title = title === 'Overview' ? 'Millstream' : `${title} · Millstream`;
  }, [title]);
  return (
    <div className={full ? 'page full' : 'page'}>
      <div className="page-head">
        <div className="grow">
          <h1>{title}</h1>
          {lead ? <div className="page-lead">{lead}</div> : null}
        </div>
        {tools ? <div className="row page-tools">{tools}</div> : null}
      </div>
      {children}
    </div>
  );
}
