import { describe, expect, it } from 'vitest';
import type { Me } from '../api/contract';
import { pageOf, pagesFor } from './navigation';

const me = (rights: Partial<Me>): Me => ({
  authentication: true,
  role: 'clerk',
  key: 'k',
  admin: false,
  sql: false,
  project: 'shop',
  ...rights,
});
const names = (who: Me | null) => pagesFor(who).flatMap(({ pages }) => pages.map(({ name }) => name));

describe('the navigation', () => {
  it('has for a role what that may see', () => {
    expect(names(me({}))).toEqual(['Tables', 'Endpoints', 'Dashboards']);
    expect(names(me({ sql: true }))).toEqual(['Tables', 'SQL', 'Endpoints', 'Dashboards']);
    expect(names(me({ admin: true, sql: true }))).toEqual(names(null));
    expect(names(null)).toContain('Lineage');
  });

  it('knows which page an address is of', () => {
    expect(pageOf('/')?.name).toBe('Overview');
    expect(pageOf('/tables/shop/orders/row')?.name).toBe('Tables');
    expect(pageOf('/dashboards/orders')?.needs).toBe('role');
    expect(pageOf('/nowhere')).toBeUndefined();
  });
});
