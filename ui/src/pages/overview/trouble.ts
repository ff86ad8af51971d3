// What is wrong, where in the picture it is, and what to do about it. Nothing here is a matter of taste: each rule names its bound.

import type { Sample, Status, TableStatus } from '../../api/contract';
import { plural, printSeconds, printSize } from '../../format/quantity';

export type Place = 'source' | 'log' | 'warehouse' | 'served';

export interface Trouble {
  id: string;
  place: Place;
  severity: 'amber' | 'red';
  title: string;
  code?: string;
  detail?: string | null;
  hint?: string | null;
  command?: string;
}

/** From here on the log is close enough to its bound that somebody should look. */
const LOG_SHARE_MAX = 0.8;
/** The lag that the alert `lag_over_60s` means. */
const LAG_SECONDS_MAX = 60;
/** WAL kept at the source beyond this endangers the source's disk rather than us. */
const WAL_RETAINED_BYTES_MAX = 5e9;

/** The room that a code comes from: MS2 source, MS3 log, all others what stands behind the log. */
export function placeOf(code: string): Place {
  if (code.startsWith('MS2')) return 'source';
  return code.startsWith('MS3') ? 'log' : 'warehouse';
}

function ofTable(table: TableStatus): Trouble[] {
  const found: Trouble[] = [];
  if (table.state === 'needs_resync') {
    found.push({
      id: `resync ${table.name}`,
      place: 'warehouse',
      severity: 'amber',
      title: `${table.name} has to be read again`,
      detail: table.reason,
      command: `millstream resync ${table.name}`,
    });
  }
  if (table.quarantined > 0) {
    found.push({
      id: `quarantine ${table.name}`,
      place: 'warehouse',
      severity: 'amber',
      title: `${plural(table.quarantined, 'change')} of ${table.name} in quarantine`,
      detail: 'Rows that could not be applied were set aside; the others go on.',
      command: `millstream quarantine list ${table.name}`,
    });
  }
  if (table.broken_dependents.length > 0) {
    found.push({
      id: `views ${table.name}`,
      place: 'served',
      severity: 'amber',
      title: `${plural(table.broken_dependents.length, 'view')} broken since a column of ${table.name} changed`,
      detail: table.broken_dependents.join(', '),
      hint: 'Change their SELECT in models/ to the columns that the table has now.',
    });
  }
  return found;
}

export function troublesOf(status: Status | undefined, sample: Sample | undefined): Trouble[] {
  const found: Trouble[] = [];
  // The sample is younger than the status: what it no longer says is over.
  const error = sample ? sample.error : (status?.error ?? null);
  const state = sample?.state ?? status?.state;
  if (error !== null) {
    found.push({
      id: `error ${error.code}`,
      place: placeOf(error.code),
      severity: 'red',
      title: error.message,
      code: error.code,
      detail: error.detail,
      hint: error.hint,
    });
  } else if (state === 'paused') {
    found.push({
      id: 'paused',
      place: 'log',
      severity: 'amber',
      title: 'Nothing flows',
      detail: status?.reason ?? null,
      command: 'millstream status',
    });
  }
  const log = sample ? { bytes: sample.log_bytes, bytes_max: sample.log_bytes_max } : status?.log;
  if (log && log.bytes_max > 0 && log.bytes >= log.bytes_max * LOG_SHARE_MAX) {
    found.push({
      id: 'log full',
      place: 'log',
      severity: log.bytes >= log.bytes_max ? 'red' : 'amber',
      title: `The log holds ${printSize(log.bytes)} of ${printSize(log.bytes_max)}`,
      detail: 'At its bound capture waits, and the server keeps its WAL for us instead.',
      hint: 'Raise log.max_bytes in millstream.yml, or see why the warehouse is behind.',
    });
  }
  const of = sample ?? status?.source;
  if (of && (of.lag_seconds ?? 0) > LAG_SECONDS_MAX) {
    found.push({
      id: 'lag',
      place: 'warehouse',
      severity: 'amber',
      title: `The warehouse is ${printSeconds(of.lag_seconds)} behind`,
      detail: `${printSize(of.lag_bytes)} of WAL between the source’s end and what can be queried.`,
      hint: 'After a large transaction or a pause it catches up by itself; if it grows, the machine or the warehouse’s disk is the bound.',
    });
  }
  if (of && (of.wal_retained_bytes ?? 0) > WAL_RETAINED_BYTES_MAX) {
    found.push({
      id: 'retained',
      place: 'source',
      severity: 'amber',
      title: `The server keeps ${printSize(of.wal_retained_bytes)} of WAL for us`,
      detail: 'It can’t be removed before the log has it.',
      hint: 'See the log’s state; max_slot_wal_keep_size at the server bounds it, at the price of the slot.',
    });
  }
  return [...found, ...(status?.tables ?? []).flatMap(ofTable)];
}
