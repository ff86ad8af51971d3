// Finding a name by some of its letters in order: `oi` finds `analytics.order_items`.

function wordBegin(text: string, letter: string, from: number): number {
  for (let at = text.indexOf(letter, from); at !== -1; at = text.indexOf(letter, at + 1)) {
    if (at === 0 || /[^a-z0-9]/.test(text[at - 1] ?? '')) return at;
  }
  return -1;
}

/** Letters that follow each other count most, then those that begin a word. `jump`: prefer the beginnings of words. */
function walk(wanted: string, text: string, jump: boolean): number | null {
  let total = 0;
  let last = -2;
  for (const letter of wanted) {
    const next = text.indexOf(letter, last < 0 ? 0 : last + 1);
    if (next === -1) return null;
    const begin = wordBegin(text, letter, last < 0 ? 0 : last + 1);
    const at = jump && next !== last + 1 && begin !== -1 ? begin : next;
    total += at === last + 1 ? 4 : at === begin ? 3 : 1;
    last = at;
  }
  return total;
}

/** Higher is better; null where the letters are not all there in this order. */
export function score(typed: string, name: string): number | null {
  const wanted = typed.toLowerCase().replace(/\s+/g, '');
  const text = name.toLowerCase();
  // A jump to a later word can leave too few letters behind it; then the first place of each will do.
  const points = walk(wanted, text, true) ?? walk(wanted, text, false);
  if (points === null) return null;
  return points + (text.includes(wanted) ? 6 : 0) + (text.endsWith(wanted) ? 2 : 0) - name.length / 100;
}

export function rank<T>(typed: string, list: T[], nameOf: (one: T) => string): T[] {
  if (typed.trim() === '') return list;
  const scored = list.flatMap((one) => {
    const points = score(typed, nameOf(one));
    return points === null ? [] : [{ one, points }];
  });
  return scored.sort((a, b) => b.points - a.points).map(({ one }) => one);
}
