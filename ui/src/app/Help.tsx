// What the keyboard does.

import { Dialog } from './Dialog';
import { SHORTCUTS } from './keys';

export function Help({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} title="Keys" className="help" onClose={onClose}>
      <div className="row">
        <h2 className="grow">Keys</h2>
        <button type="button" className="button small" onClick={onClose}>
          Close
        </button>
      </div>
      <div className="help-groups">
        {SHORTCUTS.map(({ where, list }) => (
          <section key={where}>
            <h3>{where}</h3>
            <dl>
              {list.map(({ keys, does }) => (
                <div key={does} className="help-line">
                  <dt>
                    {keys.map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
