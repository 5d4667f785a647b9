//! Partitions: the shares into which all workflow ids are divided, so that nodes can divide the work among themselves.
//!
//! A workflow id is of one partition for ever; which node owns the partition changes. There are many more of them than
//! nodes, so that they can be spread evenly and moved one by one. Stores keep rows by partition: neither the number of
//! partitions nor the hash can ever change.

/// How many partitions there are. It can never change.
pub const PARTITIONS: u16 = 256;

const WORDS: usize = PARTITIONS as usize / u64::BITS as usize;

/// One share of the workflow ids: a number below [`PARTITIONS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Partition(u16);

impl Partition {
    /// The partition of a workflow id: the CRC-32 (IEEE 802.3, as in zlib) of its UTF-8 bytes, modulo [`PARTITIONS`].
    /// All runs under one workflow id are in one partition.
    pub fn of(workflow_id: &str) -> Partition {
        let hash = crc32fast::hash(workflow_id.as_bytes());
        Partition((hash % u32::from(PARTITIONS)) as u16)
    }

    /// The partition with this number; `None` if there is no such partition.
    pub fn new(number: u16) -> Option<Partition> {
        (number < PARTITIONS).then_some(Partition(number))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    fn word_and_bit(self) -> (usize, u64) {
        let number = u32::from(self.0);
        ((number / u64::BITS) as usize, 1 << (number % u64::BITS))
    }
}

/// Some of the partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionSet {
    words: [u64; WORDS],
}

impl PartitionSet {
    /// All of them.
    pub const fn all() -> PartitionSet {
        PartitionSet { words: [u64::MAX; WORDS] }
    }

    /// Not a single one.
    pub const fn none() -> PartitionSet {
        PartitionSet { words: [0; WORDS] }
    }

    /// Adds one; returns whether it was missing.
    pub fn insert(&mut self, partition: Partition) -> bool {
        let (word, bit) = partition.word_and_bit();
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Takes one out; returns whether it was in.
    pub fn remove(&mut self, partition: Partition) -> bool {
        let was_in = self.contains(partition);
        let (word, bit) = partition.word_and_bit();
        self.words[word] &= !bit;
        was_in
    }

    /// Whether it is in.
    pub fn contains(&self, partition: Partition) -> bool {
        let (word, bit) = partition.word_and_bit();
        self.words[word] & bit != 0
    }

    /// Whether the partition of this workflow id is in. Hashes nothing where all are.
    pub fn holds(&self, workflow_id: &str) -> bool {
        self.is_all() || self.contains(Partition::of(workflow_id))
    }

    /// Those that are in, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + use<> {
        let set = *self;
        (0..PARTITIONS).map(Partition).filter(move |partition| set.contains(*partition))
    }

    /// How many are in.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether not a single one is in.
    pub fn is_empty(&self) -> bool {
        *self == PartitionSet::none()
    }

    /// Whether all are in.
    pub fn is_all(&self) -> bool {
        *self == PartitionSet::all()
    }
}

impl FromIterator<Partition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> PartitionSet {
        let mut set = PartitionSet::none();
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are stored by these numbers: if this test fails, the code is wrong, not the test.
    #[test]
    fn the_partition_of_a_workflow_id_never_changes() {
        let golden = [
            ("", 0),
            ("order/1", 109),
            ("order/2", 215),
            ("019388f0-7f4e-7c31-8f5e-3a1f6a5f2b9c", 194),
            ("schedule/nightly", 123),
            ("größe", 137),
        ];
        for (workflow_id, number) in golden {
            assert_eq!(Partition::of(workflow_id).number(), number, "{workflow_id:?}");
        }
    }

    #[test]
    fn workflow_ids_are_spread_over_all_partitions() {
        let mut counts = vec![0; usize::from(PARTITIONS)];
        for number in 0..256_000 {
            counts[usize::from(Partition::of(&format!("order/{number}")).number())] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 500 && *most < 2_000, "{least} to {most}, 1000 each would be even");
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = PartitionSet::none();
        assert!(set.is_empty() && !set.is_all() && set.iter().next().is_none());
        let some = [0, 63, 64, 255].map(|number| Partition::new(number).unwrap());
        for partition in some {
            assert!(set.insert(partition) && !set.insert(partition));
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), some);
        assert_eq!((set.len(), set), (4, some.into_iter().collect()));
        assert!(set.remove(some[1]) && !set.remove(some[1]));
        assert!(!set.contains(some[1]) && set.contains(some[2]));
        assert!(PartitionSet::all().is_all());
        assert_eq!(PartitionSet::all().iter().count(), usize::from(PARTITIONS));
        assert_eq!(PartitionSet::all(), PartitionSet::all().iter().collect());
    }

    #[test]
    fn there_is_no_partition_beyond_the_last() {
        assert_eq!(Partition::new(PARTITIONS), None);
        assert!(Partition::new(PARTITIONS - 1).is_some());
    }
}
