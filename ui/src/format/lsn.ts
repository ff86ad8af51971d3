// Arithmetic of positions in the WAL. An LSN is a byte address of 64 bits, which a JavaScript number can't hold.

const LSN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

export function parseLsn(text: string): bigint | null {
  const match = LSN.exec(text.trim());
  if (match === null) return null;
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export function printLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** Bytes of WAL from one position to another: negative where `to` lies before, null where either is unknown. */
export function bytesBetween(from: string | null | undefined, to: string | null | undefined): number | null {
  const start = from ? parseLsn(from) : null;
  const end = to ? parseLsn(to) : null;
  return start === null || end === null ? null : Number(end - start);
}

export function isLsn(text: string): boolean {
  return parseLsn(text) !== null;
}
