//! The rule by which shards go to members: rendezvous hashing with a bound on the load.

use std::collections::BTreeMap;

use zeron_core::FunctionId;

/// The shard of a function, of `count`. The same everywhere and for ever.
pub fn shard_of(function: &FunctionId, count: u32) -> u32 {
    let parts = [function.namespace(), function.kind(), function.name()];
    let hash = hash(parts.join("/").bytes());
    u32::try_from(hash % u64::from(count.max(1))).unwrap_or_default()
}

/// Who should hold each shard. No member gets more than its even share, rounded up; a member that
/// comes or goes moves little more than its own shards.
pub(crate) fn assign<'a>(count: u32, members: &[&'a str]) -> Vec<Option<&'a str>> {
    let total = u32::try_from(members.len()).unwrap_or(u32::MAX).max(1);
    let bound = count.div_ceil(total);
    let mut load: BTreeMap<&str, u32> = BTreeMap::new();
    let mut owners = Vec::new();
    for shard in 0..count {
        let weight = |member: &&&str| hash(member.bytes().chain([0]).chain(shard.to_be_bytes()));
        let has_room = |member: &&&str| load.get(**member).is_none_or(|load| *load < bound);
        // Equal weights: by name, so that all decide alike.
        let owner = members
            .iter()
            .filter(has_room)
            .max_by_key(|member| (weight(member), **member))
            .copied();
        if let Some(owner) = owner {
            *load.entry(owner).or_default() += 1;
        }
        owners.push(owner);
    }
    owners
}

/// FNV-1a, finished by a mixer (that of SplitMix64) since its high bits alone are weak.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(count: u32, members: &[&str]) -> Vec<usize> {
        let owners = assign(count, members);
        let load = |member: &&str| {
            owners
                .iter()
                .filter(|owner| **owner == Some(*member))
                .count()
        };
        members.iter().map(load).collect()
    }

    #[test]
    fn nobody_has_more_than_an_even_share() {
        for members in [
            &["a"][..],
            &["a", "b"],
            &["a", "b", "c"],
            &["a", "b", "c", "d", "e"],
        ] {
            let loads = loads(16, members);
            assert_eq!(loads.iter().sum::<usize>(), 16);
            assert!(
                loads
                    .iter()
                    .all(|load| *load <= 16usize.div_ceil(members.len())),
                "{loads:?}"
            );
        }
        assert!(assign(4, &[]).iter().all(Option::is_none));
    }

    #[test]
    fn a_new_member_moves_little_more_than_its_share() {
        let before = assign(64, &["a", "b", "c"]);
        let after = assign(64, &["a", "b", "c", "d"]);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!((16..=32).contains(&moved), "{moved}");
    }

    #[test]
    fn shards_of_functions_are_even_and_never_change() {
        let id = |index: u32| FunctionId::new("ns", "Deployment", &format!("f{index}"));
        let mut load = [0u32; 8];
        for index in 0..8000 {
            load[shard_of(&id(index), 8) as usize] += 1;
        }
        assert!(
            load.iter().all(|load| (800..1200).contains(load)),
            "{load:?}"
        );
        // Another version of this program must find the same.
        assert_eq!(shard_of(&id(1), 1024), 483);
    }
}
