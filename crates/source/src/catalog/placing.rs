//! Attribute numbers for the columns of a relation message. Pure.
//!
//! Both the message's columns and the catalogue's are in the order of their numbers, and numbers are never given twice. So what is looked
//! for is an assignment that keeps the order, takes in every column that must have been there, and gives each column a number that can have
//! been its own. Where exactly one is left it is the truth; where there are several, or none, the columns in question are in doubt.
//!
//! What is taken for impossible: that a column with one name before and behind had another in between; that a known column was given the name of
//! one that is there now, and dropped; that a column changed its type, too, where another whose type fits explains the message.

use millstream_core::{Lsn, TableSchema};
use millstream_pgoutput::message::RelationColumn;

use super::Attribute;

/// The numbers, and which columns (by index) are in doubt. `known` is the table as it was last, `at` where the message stands.
pub(super) fn place(
    columns: &[RelationColumn],
    attributes: &[Attribute],
    known: Option<&TableSchema>,
    at: Lsn,
) -> (Vec<i16>, Vec<usize>) {
    let placing = Placing { columns, attributes, known, at };
    for types_tell in [true, false] {
        let (first, last) = (placing.solve(types_tell, false), placing.solve(types_tell, true));
        if let (Some(first), Some(last)) = (first, last) {
            // Numbers rise in both: one assignment is the lowest in every place, the other the highest.
            let unclear = (0..columns.len()).filter(|&index| first[index] != last[index]).collect();
            return (last, unclear);
        }
    }
    placing.by_name()
}

struct Placing<'a> {
    columns: &'a [RelationColumn],
    attributes: &'a [Attribute],
    known: Option<&'a TableSchema>,
    at: Lsn,
}

impl Placing<'_> {
    /// An assignment with the lowest or the highest number that each column can have, if there is any.
    fn solve(&self, types_tell: bool, highest: bool) -> Option<Vec<i16>> {
        let (rows, width) = (self.attributes.len(), self.columns.len() + 1);
        // Whether the first `i` columns can be explained by the first `j` attributes.
        let mut reachable = vec![false; (rows + 1) * width];
        reachable[0] = true;
        for (j, attribute) in self.attributes.iter().enumerate() {
            for i in 0..width {
                let skipped = reachable[j * width + i] && self.may_be_absent(attribute, i);
                let taken = i > 0
                    && reachable[j * width + i - 1]
                    && self.can_be(attribute, &self.columns[i - 1], types_tell);
                reachable[(j + 1) * width + i] = skipped || taken;
            }
        }
        let mut i = self.columns.len();
        if !reachable[rows * width + i] {
            return None;
        }
        let mut placed = vec![0; self.columns.len()];
        for (j, attribute) in self.attributes.iter().enumerate().rev() {
            let skipped = reachable[j * width + i] && self.may_be_absent(attribute, i);
            let taken = i > 0
                && reachable[j * width + i - 1]
                && self.can_be(attribute, &self.columns[i - 1], types_tell);
            if taken && (highest || !skipped) {
                i -= 1;
                placed[i] = attribute.attnum;
            }
        }
        Some(placed)
    }

    fn known(&self, attribute: &Attribute) -> Option<&millstream_core::ColumnSchema> {
        self.known?.columns.iter().find(|column| column.attnum == attribute.attnum)
    }

    /// Whether the column can be missing in the message behind its first `placed` columns.
    fn may_be_absent(&self, attribute: &Attribute, placed: usize) -> bool {
        // One that lives was there as soon as any younger one was, and ever since it was known.
        let is_younger = placed == self.columns.len() && self.known(attribute).is_none();
        attribute.dropped || !attribute.published || is_younger
    }

    /// Whether the message's column can be this one.
    fn can_be(&self, attribute: &Attribute, column: &RelationColumn, types_tell: bool) -> bool {
        let before = self.known(attribute);
        let was = |name: &str| before.is_some_and(|before| before.name == name);
        // A table that is seen for the first time is read anyway: names that are there now are taken as they are.
        let took_a_name = (before.is_some() || self.known.is_none())
            && !was(&column.name)
            && self.attributes.iter().any(|other| !other.dropped && other.name == column.name);
        let type_before = before.map(|before| before.pg_type.oid);
        let type_fits = type_before == Some(column.type_oid)
            || (!attribute.dropped && attribute.type_oid == column.type_oid)
            || (attribute.dropped && before.is_none());
        if attribute.dropped {
            let was_gone = self.known.is_some_and(|known| {
                // It was seen to be gone before; or it was not there while a younger one was.
                let seen = self.at > known.storage.read_at && known.storage.gone.contains(&attribute.attnum);
                seen || (before.is_none()
                    && known.columns.iter().any(|other| other.attnum > attribute.attnum))
            });
            return !was_gone && !took_a_name && (type_fits || !types_tell);
        }
        if attribute.name == column.name {
            // The name may have been another's before, whose type tells.
            let others = self.known.is_some_and(|known| {
                known.columns.iter().any(|other| {
                    other.attnum != attribute.attnum
                        && other.name == column.name
                        && other.pg_type.oid == column.type_oid
                })
            });
            return type_fits || !types_tell || !others;
        }
        let took_a_name = took_a_name && self.known.is_none();
        !took_a_name && !was(&attribute.name) && (type_fits || !types_tell)
    }

    /// Where nothing explains the message: by name as far as that goes, all others behind their left neighbour. All are in doubt that no name tells.
    fn by_name(&self) -> (Vec<i16>, Vec<usize>) {
        let (mut placed, mut unclear) = (Vec::with_capacity(self.columns.len()), Vec::new());
        let mut low = 0_i16;
        for (index, column) in self.columns.iter().enumerate() {
            let now = self.attributes.iter().find(|other| !other.dropped && other.name == column.name);
            let before =
                self.known.and_then(|known| known.columns.iter().find(|other| other.name == column.name));
            let named = now.map(|now| now.attnum).or(before.map(|before| before.attnum));
            let attnum = named.filter(|attnum| *attnum > low);
            if attnum.is_none() || !self.attributes.is_empty() {
                unclear.push(index);
            }
            low = attnum.unwrap_or(low.saturating_add(1));
            placed.push(low);
        }
        (placed, unclear)
    }
}
