// Parts of a page, of which one is shown.

import type { ReactNode } from 'react';

interface TabsProps<T extends string> {
  tabs: readonly (readonly [T, ReactNode])[];
  chosen: T;
  onChoose: (tab: T) => void;
  className?: string;
}

export function Tabs<T extends string>({ tabs, chosen, onChoose, className = '' }: TabsProps<T>) {
  return (
    <div className={`tabs ${className}`} role="tablist">
      {tabs.map(([tab, name]) => (
        <button
          key={tab}
          type="button"
          role="tab"
          className="tab"
          aria-selected={tab === chosen}
          onClick={() => onChoose(tab)}
        >
          {name}
        </button>
      ))}
    </div>
  );
}
