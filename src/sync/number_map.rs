//! A map whose keys are numbers, in their order.
//!
//! Layer: sync. In place of std's `BTreeMap`, of which each type of value adds 10 kB of machine
//! code to every program with a pool. This adds one `BTreeMap`, of places in a list.

use std::collections::BTreeMap;
use std::iter;
use std::ops::Index;

#[derive(Debug)]
pub(crate) struct NumberMap<V> {
    places: BTreeMap<u64, usize>,
    /// With their numbers, without gaps.
    values: Vec<(u64, V)>,
}

/// An emptied list keeps room for so many values.
const KEPT: usize = 64;

impl<V> NumberMap<V> {
    pub(crate) const fn new() -> Self {
        Self {
            places: BTreeMap::new(),
            values: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.places.contains_key(&number)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&V> {
        let place = *self.places.get(&number)?;
        Some(&self.values[place].1)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let place = *self.places.get(&number)?;
        Some(&mut self.values[place].1)
    }

    /// Returns the value that had this number before.
    pub(crate) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let before = self.remove(number);
        self.places.insert(number, self.values.len());
        self.values.push((number, value));
        before
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<V> {
        let place = self.places.remove(&number)?;
        let (_, value) = self.values.swap_remove(place);
        if let Some((moved, _)) = self.values.get(place) {
            self.places.insert(*moved, place);
        }
        // Memory follows what is in the map.
        if self.values.capacity() > KEPT && 4 * self.values.len() < self.values.capacity() {
            self.values.shrink_to(KEPT.max(2 * self.values.len()));
        }
        Some(value)
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.places.first_key_value().map(|(number, _)| *number)
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.places.last_key_value().map(|(number, _)| *number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.places.values().map(|place| {
            let (number, value) = &self.values[*place];
            (*number, value)
        })
    }

    /// Those whose numbers are less than this one.
    pub(crate) fn before(&self, number: u64) -> impl Iterator<Item = &V> {
        let places = self.places.range(..number);
        places.map(|(_, place)| &self.values[*place].1)
    }

    /// In any order.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(u64, V)> {
        let first = self.first()?;
        Some((first, self.remove(first)?))
    }

    pub(crate) fn into_values(mut self) -> impl Iterator<Item = V> {
        iter::from_fn(move || self.pop_first().map(|(_, value)| value))
    }
}

impl<V> Index<u64> for NumberMap<V> {
    type Output = V;

    fn index(&self, number: u64) -> &V {
        &self.values[self.places[&number]].1
    }
}

impl<V> Default for NumberMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(u64),
        PopFirst,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50_u64).prop_map(Step::Insert),
            (0..50_u64).prop_map(Step::Remove),
            Just(Step::PopFirst),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_btree_map_does(steps in proptest::collection::vec(any_step(), 0..200)) {
            let (mut map, mut model) = (NumberMap::new(), BTreeMap::new());
            for (value, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(number) => {
                        prop_assert_eq!(map.insert(number, value), model.insert(number, value));
                        prop_assert_eq!(map[number], value);
                    }
                    Step::Remove(number) => {
                        prop_assert_eq!(map.remove(number), model.remove(&number));
                        prop_assert!(!map.contains(number));
                    }
                    Step::PopFirst => prop_assert_eq!(map.pop_first(), model.pop_first()),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.first(), model.keys().next().copied());
                prop_assert_eq!(map.last(), model.keys().next_back().copied());
                let all: Vec<_> = map.iter().map(|(number, value)| (number, *value)).collect();
                prop_assert!(all.iter().copied().eq(model.iter().map(|(n, v)| (*n, *v))));
                prop_assert!(map.before(25).eq(model.range(..25).map(|(_, value)| value)));
            }
            prop_assert!(map.into_values().eq(model.into_values()));
        }
    }

    #[test]
    fn an_emptied_map_returns_its_memory() {
        let mut map = NumberMap::new();
        for number in 0..10_000 {
            map.insert(number, ());
        }
        while map.pop_first().is_some() {}
        assert!(map.is_empty() && map.values.capacity() <= 2 * KEPT);
    }
}
