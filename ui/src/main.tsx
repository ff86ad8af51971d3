// The first thing that runs: the theme before the first paint, then the page.
// The shared styles come before the pages', so that a page can differ.

import '@fontsource-variable/source-sans-3';
import '@fontsource-variable/source-code-pro';
import './style/tokens.css';
import './style/base.css';
import './style/shell.css';
import './style/notes.css';
import './style/grid.css';
import './style/charts.css';
import './style/pages.css';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { Gate } from './app/Gate';
import { applyTheme } from './app/theme';

applyTheme();

const root = document.getElementById('root');
if (root !== null) {
  createRoot(root).render(
    <Gate>
      <App />
    </Gate>,
  );
}
