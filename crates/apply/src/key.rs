//! Rows found by key within a batch, without copying a key.
//!
//! A key is compared by its columns' text as the source printed it. That is right within a stream: when an update changes a key in any way that
//! shows (`1.0` to `1.00`), the source calls it changed and sends the old one.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use hashbrown::{DefaultHashBuilder, HashTable};
use millstream_core::{Tuple, Value};

/// Which columns of a tuple are its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyColumns {
    /// These, by index, in the key's order.
    Some(Vec<usize>),
    /// All: rows are matched whole.
    Whole,
}

impl KeyColumns {
    fn each<'a>(&self, tuple: &'a Tuple, mut visit: impl FnMut(Value<'a>)) {
        match self {
            KeyColumns::Whole => tuple.values().for_each(visit),
            KeyColumns::Some(indexes) => {
                if let [index] = indexes[..] {
                    tuple.values().nth(index).into_iter().for_each(visit);
                } else {
                    // Keys are few and short; walking the tuple again for each beats collecting its values.
                    for &index in indexes {
                        visit(tuple.values().nth(index).unwrap_or(Value::Null));
                    }
                }
            }
        }
    }

    fn hash(&self, tuple: &Tuple, builder: &DefaultHashBuilder) -> u64 {
        let mut hasher = builder.build_hasher();
        self.each(tuple, |value| value.hash(&mut hasher));
        hasher.finish()
    }

    /// The key's values.
    pub fn values<'a>(&self, tuple: &'a Tuple) -> Vec<Value<'a>> {
        let mut values = Vec::with_capacity(4);
        self.each(tuple, |value| values.push(value));
        values
    }

    fn equal(&self, tuple: &Tuple, others: &KeyColumns, other: &Tuple) -> bool {
        match (self, others) {
            (KeyColumns::Some(a), KeyColumns::Some(b)) if a.len() == 1 && b.len() == 1 => {
                tuple.values().nth(a[0]) == other.values().nth(b[0])
            }
            (KeyColumns::Whole, KeyColumns::Whole) => tuple == other,
            _ => self.values(tuple) == others.values(other),
        }
    }
}

/// A map from keys to `T`, the keys held as the tuples they stand in.
#[derive(Debug)]
pub struct KeyMap<T> {
    table: HashTable<u32>,
    entries: Vec<(Tuple, Arc<KeyColumns>, T)>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for KeyMap<T> {
    fn default() -> Self {
        KeyMap { table: HashTable::new(), entries: Vec::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T> KeyMap<T> {
    /// What stands for the tuple's key.
    pub fn get_mut(&mut self, columns: &KeyColumns, tuple: &Tuple) -> Option<&mut T> {
        let hash = columns.hash(tuple, &self.hasher);
        let entries = &self.entries;
        let found = self.table.find(hash, |&index| {
            let (other, others, _) = &entries[index as usize];
            columns.equal(tuple, others, other)
        })?;
        Some(&mut self.entries[*found as usize].2)
    }

    /// What stands for the tuple's key, put there if nothing does.
    pub fn entry(&mut self, columns: &Arc<KeyColumns>, tuple: &Tuple, value: impl FnOnce() -> T) -> &mut T {
        let hash = columns.hash(tuple, &self.hasher);
        let KeyMap { table, entries, hasher } = self;
        let found = table.entry(
            hash,
            |&index| {
                let (other, others, _) = &entries[index as usize];
                columns.equal(tuple, others, other)
            },
            |&index| {
                let (other, others, _) = &entries[index as usize];
                others.hash(other, hasher)
            },
        );
        let index = match found {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let index = entries.len() as u32;
                entry.insert(index);
                entries.push((tuple.clone(), columns.clone(), value()));
                index
            }
        };
        &mut self.entries[index as usize].2
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::TupleBuilder;

    use super::*;

    fn tuple(values: &[Option<&str>]) -> Tuple {
        let mut builder = TupleBuilder::new();
        for value in values {
            builder.push(value.map_or(Value::Null, |text| Value::Text(text.as_bytes())));
        }
        builder.finish()
    }

    #[test]
    fn keys_are_found_by_their_columns_alone() {
        let mut map = KeyMap::default();
        let key = Arc::new(KeyColumns::Some(vec![2, 0]));
        *map.entry(&key, &tuple(&[Some("a"), Some("x"), Some("1")]), || 0) = 7;
        assert_eq!(map.get_mut(&key, &tuple(&[Some("a"), Some("y"), Some("1")])), Some(&mut 7));
        assert_eq!(map.get_mut(&key, &tuple(&[Some("1"), Some("x"), Some("a")])), None);
        // The same key where an added column has moved it.
        let moved = KeyColumns::Some(vec![1, 0]);
        assert_eq!(map.get_mut(&moved, &tuple(&[Some("a"), Some("1"), Some("z")])), Some(&mut 7));
    }

    #[test]
    fn whole_rows_tell_null_from_empty() {
        let mut map = KeyMap::default();
        map.entry(&Arc::new(KeyColumns::Whole), &tuple(&[None, Some("")]), || 1);
        assert!(map.get_mut(&KeyColumns::Whole, &tuple(&[Some(""), None])).is_none());
        assert!(map.get_mut(&KeyColumns::Whole, &tuple(&[None, Some("")])).is_some());
    }

    #[test]
    fn many_keys_survive_growth() {
        let mut map = KeyMap::default();
        let key = Arc::new(KeyColumns::Some(vec![0]));
        for number in 0..10_000 {
            map.entry(&key, &tuple(&[Some(&number.to_string())]), || number);
        }
        for number in 0..10_000 {
            assert_eq!(map.get_mut(&key, &tuple(&[Some(&number.to_string())])), Some(&mut { number }));
        }
    }
}
