// From the runs of a node to the bars of a chart.

import type { NodeResult } from '../../api/contract';
import type { Shape } from '../../charts/shape';
import { parseInstant, printClock, printDay } from '../../format/time';

/** In the order of time, named by the clock, with the day where there are several; runs of one second are told apart below it. */
export function timings(history: NodeResult[]): Shape {
  const runs = [...history].reverse();
  const dates = runs.map(({ at }) => new Date(parseInstant(at)?.ms ?? 0));
  const days = new Set(dates.map(printDay));
  const seconds = dates.map((date) => (days.size > 1 ? `${printDay(date).slice(5)} ` : '') + printClock(date));
  const labels = seconds.map((label, at) => {
    const before = seconds.slice(0, at).filter((one) => one === label).length;
    return before === 0 ? label : `${label} (${before + 1})`;
  });
  return { labels, series: [{ name: 'seconds', values: runs.map((run) => run.seconds) }], temporal: false };
}
