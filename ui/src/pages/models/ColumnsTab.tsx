// The columns of a node, and of the one that is chosen what it is made of and what is made of it, as far as that goes.

import { Fragment, useEffect, useRef } from 'react';
import type { ColumnLineage, LineageStep, Model } from '../../api/contract';
import { usePolled } from '../../api/resource';
import { modelAddress } from '../../app/addresses';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { titleOfId } from './nodes';

const COLUMNS = 5;
/** What is built meanwhile may lead elsewhere. */
const AGAIN_SECONDS = 15;
/** Deeper than this steps stand below each other: names are to be read. */
const INDENTED_MAX = 8;

/** Read alike both ways: the one above gives a value, or decides rows. */
const WAYS: Record<LineageStep['way'], string> = {
  from: 'value',
  by: 'decides its rows',
  rows: 'decides which rows there are',
};

const resourceOf = (id: string): string => id.slice(0, id.indexOf('.'));

const columnAddress = (node: string, column: string): string => modelAddress(node, { tab: 'columns', column });

/** A relation that is none of the project's has no page among its nodes. */
const isNode = (id: string): boolean => /^(model|seed|snapshot|source)\./.test(id);

function StepName({ step }: { step: LineageStep }) {
  const title = titleOfId(step.node);
  return (
    <span className={`kind kind-${resourceOf(step.node)}`}>
      <span>
        {!isNode(step.node) ? (
          <span className="data">{[step.node, step.column].filter((part) => part !== null).join('.')}</span>
        ) : step.column === null ? (
          <Link className="data" to={modelAddress(step.node)}>
            {title}
          </Link>
        ) : (
          <Link className="data" to={columnAddress(step.node, step.column)}>
            {title}.<strong>{step.column}</strong>
          </Link>
        )}
        {step.again ? <span className="faint"> see above</span> : null}
        {step.unknown ? <span className="quiet"> not certain: {step.unknown}</span> : null}
      </span>
    </span>
  );
}

interface StepsProps {
  title: string;
  steps: LineageStep[];
  count: number;
  nothing: string;
}

function Steps({ title, steps, count, nothing }: StepsProps) {
  return (
    <section>
      <h3>
        {title} {count > 0 ? <span className="faint">{count}</span> : null}
      </h3>
      {steps.length === 0 ? <p className="faint">{nothing}</p> : null}
      {steps.length > 0 ? (
        <table className="list lineage-steps">
          <thead>
            <tr>
              <th className="number">step</th>
              <th>column</th>
              <th>how</th>
            </tr>
          </thead>
          <tbody>
            {steps.map((step, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a column may be reached in several ways, and the way is its place
              <tr key={at}>
                <td className="number faint">{step.depth}</td>
                <td className={`lineage-step depth-${Math.min(step.depth, INDENTED_MAX)}`}>
                  <StepName step={step} />
                </td>
                <td className="quiet">{WAYS[step.way]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {count > steps.length ? (
        <p className="quiet">
          The first {steps.length} of {count}; <Command text="millstream lineage" /> tells all of them.
        </p>
      ) : null}
    </section>
  );
}

/** What it says where a node has nothing above. */
function originOf(node: string): string {
  if (node.startsWith('source.')) return 'It is the source’s own.';
  if (node.startsWith('seed.')) return 'It is in the seed’s file.';
  return 'No column: its value is made here.';
}

const NOT_COMPILED = /not compiled/;

function Unknown({ lineage }: { lineage: ColumnLineage }) {
  const { unknown, not_followed } = lineage;
  return (
    <>
      {unknown === null ? null : (
        <div className="note">
          <p className="note-head">
            {lineage.upstream.length > 0
              ? 'There may be more that it comes from.'
              : 'Where it comes from is not known.'}
          </p>
          <p className="note-hint">{unknown}</p>
          {NOT_COMPILED.test(unknown) ? (
            <p className="note-hint">
              <Command text="millstream compile" /> makes it known.
            </p>
          ) : null}
        </div>
      )}
      {not_followed.length === 0 ? null : (
        <div className="note">
          <p className="note-head">
            {not_followed.length === 1
              ? '1 node may read it, too: its SQL could not be followed.'
              : `${not_followed.length} nodes may read it, too: their SQL could not be followed.`}
          </p>
          <ul className="note-hint">
            {not_followed.map(({ node, unknown }) => (
              <li key={node}>
                <Link className="data" to={modelAddress(node)}>
                  {titleOfId(node)}
                </Link>{' '}
                {unknown}
              </li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

function LineageOf({ id, column }: { id: string; column: string }) {
  const address = `/api/models/${encodeURIComponent(id)}/lineage?column=${encodeURIComponent(column)}`;
  const { data, error, reload, loading } = usePolled<ColumnLineage>(address, AGAIN_SECONDS);
  const place = useRef<HTMLDivElement>(null);
  const isThere = data !== undefined;
  useEffect(() => {
    if (isThere) place.current?.scrollIntoView({ block: 'nearest' });
  }, [isThere]);
  if (error && (data === undefined || loading)) {
    return error.status === 404 ? (
      <Empty title={`There is no column ${column}.`}>It may have had one by this name before.</Empty>
    ) : (
      <ErrorNote problem={error} onRetry={reload} />
    );
  }
  if (data === undefined || loading) return <Skeleton lines={3} />;
  return (
    <div ref={place} className="lineage-of">
      <Unknown lineage={data} />
      <div className="lineage-both">
        <Steps
          title="Comes from"
          steps={data.upstream}
          count={data.upstream_count}
          nothing={data.unknown === null ? originOf(data.node) : 'not known'}
        />
        <Steps
          title="Goes into"
          steps={data.downstream}
          count={data.downstream_count}
          nothing={data.not_followed.length === 0 ? 'Nothing is made of it.' : 'nothing that is known'}
        />
      </div>
    </div>
  );
}

export function ColumnsTab({ model }: { model: Model }) {
  const chosen = usePlace().query.get('column');
  const isChosen = (name: string) => chosen !== null && name.toLowerCase() === chosen.toLowerCase();
  const isListed = model.columns.some(({ name }) => isChosen(name));
  // Of an ephemeral model the warehouse knows no columns, and what reads them does.
  const apart =
    chosen !== null && !isListed ? (
      <section className="lineage-apart card" aria-label={`Lineage of ${chosen}`}>
        <p className="row">
          <strong className="data">{chosen}</strong>
          <button type="button" className="button bare small" onClick={() => setQuery({ column: null })}>
            Close
          </button>
        </p>
        <LineageOf key={chosen} id={model.id} column={chosen} />
      </section>
    ) : null;
  if (model.columns.length === 0) {
    return (
      apart ?? (
        <Empty title="No column is known.">
          Columns are known once it is built; a properties file beside it describes and tests them.
        </Empty>
      )
    );
  }
  return (
    <>
      {apart}
      <div className="list-around">
        <table className="list columns">
          <thead>
            <tr>
              <th className="number">no.</th>
              <th>column</th>
              <th>type</th>
              <th>tests</th>
              <th>description</th>
            </tr>
          </thead>
          <tbody>
            {model.columns.map(({ name, type, description, tests }, at) => (
              <Fragment key={name}>
                <tr>
                  <td className="number faint">{at + 1}</td>
                  <td className="column-name">
                    <button
                      type="button"
                      className="saved-open data"
                      aria-expanded={isChosen(name)}
                      title="Where it comes from and goes"
                      onClick={() => setQuery({ column: isChosen(name) ? null : name }, { replace: true })}
                    >
                      {name}
                    </button>
                  </td>
                  <td className="data column-type">{type ?? <span className="faint">–</span>}</td>
                  <td className={tests.length > 0 ? 'column-tests' : 'column-tests none'}>
                    {tests.length > 0 ? (
                      <Link to={modelAddress(model.id, { tab: 'tests', column: name })}>{tests.join(', ')}</Link>
                    ) : (
                      <span className="faint">–</span>
                    )}
                  </td>
                  <td className={description ? 'column-words' : 'column-words none'}>{description}</td>
                </tr>
                {isChosen(name) ? (
                  <tr className="check-open">
                    <td colSpan={COLUMNS}>
                      <div className="check-detail">
                        <LineageOf key={name} id={model.id} column={name} />
                      </div>
                    </td>
                  </tr>
                ) : null}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
      {chosen === null ? <p className="quiet">A column opens where it comes from and where it goes.</p> : null}
    </>
  );
}
