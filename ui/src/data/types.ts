// What a column's type means for how its values are shown.

export type Kind = 'number' | 'instant' | 'date' | 'boolean' | 'json' | 'text';

const NUMBERS = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|INT\d+|DECIMAL|NUMERIC|NUMBER|DOUBLE|FLOAT|REAL|OID)/;

export function kindOf(type: string): Kind {
  const name = type.toUpperCase();
  if (name.endsWith('[]')) return 'text';
  if (name.startsWith('INTERVAL')) return 'text';
  if (NUMBERS.test(name)) return 'number';
  if (name === 'TIMESTAMPTZ' || (name.startsWith('TIMESTAMP') && name.endsWith('WITH TIME ZONE'))) return 'instant';
  if (name.startsWith('DATE') || name.startsWith('TIMESTAMP')) return 'date';
  if (name.startsWith('BOOL')) return 'boolean';
  if (name === 'JSON' || name === 'JSONB') return 'json';
  return 'text';
}

/** Types as people write them: `timestamptz` under a name leaves room for the next column. */
export function shortType(type: string): string {
  return type
    .toLowerCase()
    .replace(/^timestamp(\(\d\))? with time zone$/, 'timestamptz$1')
    .replace(/^timestamp(\(\d\))? without time zone$/, 'timestamp$1')
    .replace(/^character varying/, 'varchar');
}
