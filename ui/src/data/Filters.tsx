// Filters above rows: each one that holds, and a form for the next.

import { type FormEvent, type RefObject, useState } from 'react';
import type { Column } from '../api/contract';
import { type Filter, OPERATORS, type Operator, printFilter, symbolOf, usualOperator } from './filters';

interface FiltersProps {
  columns: Column[];
  filters: Filter[];
  field: RefObject<HTMLSelectElement | null>;
  onChange: (filters: Filter[]) => void;
}

export function Filters({ columns, filters, field, onChange }: FiltersProps) {
  const [column, setColumn] = useState('');
  const [operator, setOperator] = useState<Operator | null>(null);
  const [value, setValue] = useState('');
  const chosen = columns.find(({ name }) => name === column) ?? columns[0];
  const how = operator ?? usualOperator(chosen?.type ?? '');

  const add = (event: FormEvent) => {
    event.preventDefault();
    if (chosen === undefined) return;
    const text = (how === 'like' || how === 'ilike') && !/[%_*]/.test(value) ? `%${value}%` : value;
    const filter = { column: chosen.name, operator: how, value: how === 'is' && text === '' ? 'null' : text };
    onChange([...filters.filter((one) => printFilter(one) !== printFilter(filter)), filter]);
    setValue('');
  };

  return (
    <div className="filters">
      {filters.map((filter) => (
        <span key={printFilter(filter)} className="filter">
          <code>
            {filter.column} {symbolOf(filter.operator)} {filter.value}
          </code>
          <button
            type="button"
            aria-label={`Remove the filter on ${filter.column}`}
            onClick={() => onChange(filters.filter((one) => one !== filter))}
          >
            ×
          </button>
        </span>
      ))}
      <form className="filter-form" onSubmit={add}>
        <select
          ref={field}
          className="field"
          aria-label="Column"
          value={chosen?.name ?? ''}
          onChange={(event) => {
            setColumn(event.target.value);
            setOperator(null);
          }}
        >
          {columns.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <select
          className="field"
          aria-label="Comparison"
          value={how}
          onChange={(event) => setOperator(event.target.value as Operator)}
        >
          {OPERATORS.map(([name, , words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
        <input
          className="field"
          aria-label="Value"
          placeholder={how === 'is' ? 'null, not_null, true, false' : 'value'}
          spellCheck={false}
          value={value}
          onChange={(event) => setValue(event.target.value)}
        />
        <button type="submit" className="button">
          Filter
        </button>
      </form>
    </div>
  );
}
