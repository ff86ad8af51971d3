//! What of a table's copy that was cut off counts under a later snapshot. Pure.
//!
//! A finished chunk holds what its snapshot saw in some pages. It can be brought forward as long as a row's pages say when it was written: the
//! storage must be the same (no TRUNCATE, no rewrite), the columns must be, and fewer transactions must have begun since than `age` can measure.

use millstream_core::{
    base::{BaseTable, CopyEncoding, EarlierChunk, PageRange},
    TypeKind,
};

use super::cut;

/// `age` measures 2^31 transactions in each direction. Half of that leaves room for those that begin while chunks are brought forward.
const XIDS_MAX: u64 = 1 << 30;

/// The entry under which a table is completed: `fresh` as it was planned under the new snapshot, with what `before` has finished. `None` where nothing
/// was finished; an error says why what was can't be used. `next_xid`: of the new snapshot.
pub(super) fn carry(
    before: &BaseTable,
    fresh: &BaseTable,
    next_xid: u64,
    chunk_pages: u64,
) -> Result<Option<BaseTable>, &'static str> {
    if before.chunks.is_empty() && before.earlier.is_empty() {
        return Ok(None);
    }
    let (Some(then), Some(now)) = (&before.origin, &fresh.origin) else {
        return Err("it was not written down where the rows come from");
    };
    if before.schema.columns != fresh.schema.columns || before.encodings != fresh.encodings {
        return Err("its columns are others now");
    }
    if before.schema.key != fresh.schema.key {
        return Err("its key is another one now");
    }
    if then.row_filter != now.row_filter {
        return Err("the publication's row filter is another one now");
    }
    if then.enum_labels != now.enum_labels && may_hold_enums(fresh) {
        return Err("the labels of an enum have changed");
    }
    if !then.heaps.iter().all(|heap| now.heaps.contains(heap)) {
        return Err("it was truncated or rewritten, or a partition went");
    }
    let mut origin = now.clone();
    origin.heaps.clone_from(&then.heaps);
    origin.heaps.extend(now.heaps.iter().filter(|heap| !then.heaps.contains(heap)));
    origin.ranges.clone_from(&then.ranges);
    for (heap, planned) in now.heaps.iter().zip(0..) {
        let planned = now.ranges.iter().filter(|range| range.heap == planned);
        let Some(index) = origin.heaps.iter().position(|other| other == heap) else { continue };
        let index = index as u32;
        let covered: Vec<_> = then.ranges.iter().filter(|range| range.heap == index).collect();
        if covered.is_empty() {
            origin.ranges.extend(planned.map(|range| PageRange { heap: index, ..*range }));
        } else if covered.iter().all(|range| range.to.is_some()) {
            // It has grown.
            let covered = covered.iter().filter_map(|range| range.to).max().unwrap_or(0);
            let end = planned.filter_map(|range| range.to).max().unwrap_or(0);
            cut(index, covered, end, chunk_pages, &mut origin.ranges);
        }
    }
    let finished =
        before.chunks.iter().map(|chunk| EarlierChunk { chunk: chunk.clone(), horizon: then.horizon });
    let usable = |earlier: &EarlierChunk| {
        let pages = then.ranges.get(earlier.chunk.number as usize);
        pages.is_some_and(|pages| pages.to.is_some()) && next_xid.saturating_sub(earlier.horizon) < XIDS_MAX
    };
    let earlier: Vec<EarlierChunk> = finished.chain(before.earlier.iter().cloned()).filter(usable).collect();
    Ok(Some(BaseTable {
        chunks_planned: origin.ranges.len() as u32,
        earlier,
        origin: Some(origin),
        ..fresh.clone()
    }))
}

/// Whether a value can show an enum's label, by itself or within.
fn may_hold_enums(table: &BaseTable) -> bool {
    fn kind_may(kind: &TypeKind) -> bool {
        match kind {
            TypeKind::Enum | TypeKind::Other => true,
            TypeKind::Array(element) => kind_may(element),
            _ => false,
        }
    }
    table.schema.columns.iter().any(|column| kind_may(&column.pg_type.kind))
        || table.encodings.contains(&CopyEncoding::Text)
}
