// The heads of a list that sort it; the address keeps by what.

import { setQuery } from '../app/router';

export interface Sort<By extends string> {
  by: By;
  descending: boolean;
}

/** What the address says (`name`, `rows.desc`); what it does not know sorts as usual. */
export function sortOf<By extends string>(query: URLSearchParams, all: readonly By[], usual: By): Sort<By> {
  const [given, way] = (query.get('sort') ?? usual).split('.');
  const by = all.find((one) => one === given);
  return by === undefined ? { by: usual, descending: false } : { by, descending: way === 'desc' };
}

/** How two compare by what is sorted by. */
export function comparing<T>(sortValue: (one: T) => string | number, descending: boolean) {
  return (one: T, other: T) => {
    const [a, b] = [sortValue(one), sortValue(other)];
    const order = a < b ? -1 : a > b ? 1 : 0;
    return descending ? -order : order;
  };
}

interface SortHeadProps<By extends string> {
  by: By;
  name: string;
  className?: string;
  sort: Sort<By>;
}

export function SortHead<By extends string>({ by, name, className, sort }: SortHeadProps<By>) {
  const own = sort.by === by;
  return (
    <th className={className} aria-sort={own ? (sort.descending ? 'descending' : 'ascending') : undefined}>
      <button
        type="button"
        className="head-button"
        onClick={() => setQuery({ sort: own && !sort.descending ? `${by}.desc` : by }, { replace: true })}
      >
        {name}
        <span aria-hidden="true">{own ? (sort.descending ? ' ↓' : ' ↑') : ''}</span>
      </button>
    </th>
  );
}
