// The as-of slider: the page as it was. The address keeps the moment, so that it can be sent to somebody else.

import { useEffect, useRef, useState } from 'react';
import { useNow } from '../app/clock';
import { setQuery } from '../app/router';
import { ageAt, momentOf, parseMoment, printMoment, sliderAt } from '../format/moment';
import { parseInstant, printAge, printInstantShort } from '../format/time';

const STEPS = 2000;
/** Dragging asks for what it rests on, not for everything that it passes. */
const REST_MS = 120;

interface AsOfProps {
  /** Null: now. */
  value: string | null;
  /** When the history begins, where that is known. */
  since: string | null;
}

export function AsOf({ value, since }: AsOfProps) {
  const now = useNow();
  const [typed, setTyped] = useState<string | null>(null);
  const [dragged, setDragged] = useState<number | null>(null);
  const [wrong, setWrong] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another value makes what was typed or dragged old
  useEffect(() => {
    setTyped(null);
    setDragged(null);
    setWrong(false);
  }, [value]);

  // Without a known beginning an hour back is offered; the field takes any moment.
  const start = (since ? parseInstant(since)?.ms : undefined) ?? now - 3_600_000;
  const span = Math.max(1000, now - start);
  const chosen = value ? (parseInstant(value)?.ms ?? null) : null;
  const place =
    dragged ?? (value === null ? STEPS : chosen === null ? STEPS / 2 : sliderAt(now - chosen, span) * STEPS);

  const choose = (moment: string | null) => setQuery({ as_of: moment }, { replace: true });
  const drag = (position: number) => {
    setDragged(position);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setDragged(null);
      choose(position >= STEPS ? null : momentOf(now - ageAt(position / STEPS, span)));
    }, REST_MS);
  };
  const commit = () => {
    if (typed === null) return;
    const moment = typed.trim() === '' ? null : parseMoment(typed);
    if (moment === null && typed.trim() !== '') {
      setWrong(true);
      return;
    }
    setTyped(null);
    setWrong(false);
    choose(moment);
  };
  const preview =
    dragged === null || dragged >= STEPS
      ? null
      : printMoment(momentOf(now - ageAt(dragged / STEPS, span)).replace(/\.\d+/, ''));
  const shown = typed ?? preview ?? (value === null || dragged !== null ? '' : printMoment(value));

  return (
    <div className={`as-of ${value === null ? '' : 'past'}`}>
      <span className="as-of-name">{value === null ? 'As it is' : 'As it was'}</span>
      <div className="as-of-slider">
        <input
          type="range"
          aria-label="As of"
          aria-valuetext={value === null ? 'now' : printMoment(value)}
          min={0}
          max={STEPS}
          value={Math.round(place)}
          onChange={(event) => drag(Number(event.target.value))}
        />
        <div className="as-of-ends">
          <span>{since ? `history since ${printInstantShort(since)}` : 'an hour ago'}</span>
          <span>{chosen !== null && value !== null ? printAge(value, now) : 'now'}</span>
        </div>
      </div>
      <input
        className="field"
        aria-label="As of a time or a position"
        aria-invalid={wrong}
        placeholder="now; a time, or an LSN"
        title={wrong ? 'A time such as 2026-11-21 12:30:00, or a position such as 0/16B3748' : undefined}
        value={shown}
        spellCheck={false}
        onChange={(event) => {
          setTyped(event.target.value);
          setWrong(false);
        }}
        onBlur={commit}
        onKeyDown={(event) => event.key === 'Enter' && commit()}
      />
      <button type="button" className="button" disabled={value === null} onClick={() => choose(null)}>
        Back to now
      </button>
    </div>
  );
}
