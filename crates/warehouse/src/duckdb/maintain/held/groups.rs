//! The groups of a result: their keys, how many rows are behind each, and their sums.

use std::{collections::HashMap, sync::Arc};

use super::cell::Cell;

/// A group's number: groups keep it as long as there are any.
pub(super) type Slot = u32;

/// Groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    slots: HashMap<Arc<[Cell]>, Slot>,
    keys: Vec<Arc<[Cell]>>,
    /// Of each group as many as [`Groups::width`]: rows, then what is counted and summed.
    sums: Vec<i128>,
    width: usize,
    /// Keys that conditions with parameters look at.
    asked: Vec<usize>,
    /// The sets of values of those keys, by their numbers.
    sets: HashMap<Box<[Cell]>, usize>,
    members: Vec<Members>,
    /// The set that each group belongs to.
    set_of: Vec<u32>,
    /// Keys that the statement itself groups by: the first ones.
    grouped: usize,
    /// What groups are the same for the statement, where it groups by less.
    wholes: HashMap<Box<[Cell]>, u32>,
    whole_of: Vec<u32>,
    empty: usize,
    changes: u64,
}

/// Groups with the same values of the keys that conditions look at.
#[derive(Debug)]
pub(super) struct Members {
    /// The values.
    pub(super) values: Box<[Cell]>,
    /// The groups.
    pub(super) slots: Vec<Slot>,
    /// Another number behind each change of one of them.
    pub(super) changed: u64,
}

impl Groups {
    /// None yet. `width`: sums of each, the number of rows included.
    pub(super) fn new(width: usize, grouped: usize, asked: Vec<usize>) -> Self {
        Groups { width, grouped, asked, ..Groups::default() }
    }

    /// How many there are, those included that nothing is left of.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many have no row.
    pub(super) fn empty(&self) -> usize {
        self.empty
    }

    /// The groups by what conditions look at, in the order in which they came up.
    pub(super) fn members(&self) -> &[Members] {
        &self.members
    }

    pub(super) fn key(&self, slot: Slot) -> &[Cell] {
        &self.keys[slot as usize]
    }

    pub(super) fn sums(&self, slot: Slot) -> &[i128] {
        &self.sums[slot as usize * self.width..][..self.width]
    }

    /// Which of the statement's own groups it is a part of.
    pub(super) fn whole(&self, slot: Slot) -> u32 {
        self.whole_of[slot as usize]
    }

    /// Whether each group in so many sets is one of the statement's own: what it does not group by is the same in all of one set, where conditions
    /// look at it.
    pub(super) fn are_whole(&self, sets: usize) -> bool {
        let keys = self.keys.first().map_or(self.grouped, |key| key.len());
        keys == self.grouped || (sets == 1 && (self.grouped..keys).all(|at| self.asked.contains(&at)))
    }

    /// Adds to a group. `false`: a sum does not fit any more.
    pub(super) fn add(&mut self, key: Vec<Cell>, by: &[i128]) -> bool {
        debug_assert_eq!(by.len(), self.width);
        let slot = match self.slots.get(key.as_slice()) {
            Some(slot) => *slot,
            None => self.begin(key),
        };
        let sums = &mut self.sums[slot as usize * self.width..][..self.width];
        let was_empty = sums[0] == 0;
        for (sum, by) in sums.iter_mut().zip(by) {
            match sum.checked_add(*by) {
                Some(added) => *sum = added,
                None => return false,
            }
        }
        match (was_empty, sums[0] == 0) {
            (true, false) => self.empty -= 1,
            (false, true) => self.empty += 1,
            _ => {}
        }
        self.changes += 1;
        self.members[self.set_of[slot as usize] as usize].changed = self.changes;
        true
    }

    fn begin(&mut self, key: Vec<Cell>) -> Slot {
        let slot = u32::try_from(self.keys.len()).expect("groups are bounded by half a million");
        let values: Box<[Cell]> = self.asked.iter().map(|at| key[*at].clone()).collect();
        let set = match self.sets.get(&values) {
            Some(set) => *set,
            None => {
                self.members.push(Members { values: values.clone(), slots: Vec::new(), changed: 0 });
                self.sets.insert(values, self.members.len() - 1);
                self.members.len() - 1
            }
        };
        self.members[set].slots.push(slot);
        self.set_of.push(u32::try_from(set).expect("as many as groups at most"));
        let whole = if self.grouped == key.len() {
            slot
        } else {
            let next = u32::try_from(self.wholes.len()).expect("as many as groups at most");
            *self.wholes.entry(key[..self.grouped].into()).or_insert(next)
        };
        self.whole_of.push(whole);
        let key: Arc<[Cell]> = key.into();
        self.keys.push(key.clone());
        self.slots.insert(key, slot);
        self.sums.extend(std::iter::repeat_n(0, self.width));
        self.empty += 1;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(of: &str, n: i64) -> Vec<Cell> {
        vec![Cell::Text(of.into()), Cell::Number(n)]
    }

    #[test]
    fn groups_add_up_and_know_what_changed() {
        let mut groups = Groups::new(2, 1, vec![1]);
        assert!(groups.add(key("a", 1), &[2, 7]) && groups.add(key("a", 2), &[1, 1]));
        assert!(groups.add(key("b", 1), &[1, 5]));
        assert_eq!((groups.len(), groups.empty(), groups.members().len()), (3, 0, 2));
        assert_eq!((groups.whole(0), groups.whole(1), groups.whole(2)), (0, 0, 1));
        assert!(groups.are_whole(1) && !groups.are_whole(2), "`a` is in both sets");
        let [one, two] = groups.members() else { panic!("{groups:?}") };
        assert_eq!((one.slots.as_slice(), two.slots.as_slice()), (&[0, 2][..], &[1][..]));
        let before = (one.changed, two.changed);
        assert!(groups.add(key("b", 1), &[-1, -5]));
        assert_eq!((groups.sums(2), groups.empty()), (&[0, 0][..], 1));
        let after: Vec<_> = groups.members().iter().map(|members| members.changed).collect();
        assert!(after[0] > before.0 && after[1] == before.1);
        assert!(groups.add(key("b", 1), &[3, 0]));
        assert_eq!((groups.len(), groups.empty()), (3, 0), "it has its number back");
        assert!(!groups.add(key("b", 1), &[1, i128::MAX]) || !groups.add(key("b", 1), &[1, i128::MAX]));
    }
}
