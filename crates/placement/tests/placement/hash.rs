//! The shard hash is frozen: golden vectors, and a second implementation of XXH3 that builds its own frame.

use aether_domain::{ActorId, ActorKey, ActorKind, Namespace, ShardCount, ShardId};
use aether_placement::ShardHash;
use proptest::prelude::*;
use twox_hash::XxHash3_64;

/// The frame as the specification has it, hashed by the other implementation.
fn second_opinion(seed: u64, namespace: &str, kind: &str, key: &str) -> u64 {
    let mut frame = Vec::new();
    for name in [namespace, kind] {
        frame.extend(u16::try_from(name.len()).expect("names are short").to_le_bytes());
        frame.extend(name.as_bytes());
    }
    frame.extend(key.as_bytes());
    XxHash3_64::oneshot_with_seed(seed, &frame)
}

/// An empty kind says that the key is a co-location key.
fn ours(seed: u64, namespace: &str, kind: &str, key: &str) -> u64 {
    let hash = ShardHash::v1(seed, &Namespace::new(namespace).expect("a namespace"));
    if kind.is_empty() {
        return hash.hash_colocated(key);
    }
    hash.hash(&ActorKind::new(kind).expect("a kind"), &ActorId::new(key).expect("an id"))
}

const LONG: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// Seed, namespace, kind, key, and the hash for ever. Never edit a line: a new function is a new id.
fn golden() -> Vec<(u64, &'static str, &'static str, String, u64)> {
    vec![
        (0, "aether", "account", "alice".to_owned(), 0x93fd_ca63_9191_ff75),
        (0, "aether", "account", "bob".to_owned(), 0xdd86_61bf_22ee_1b8e),
        (0, "aether", "transfer", "alice".to_owned(), 0xc93a_563b_ef8e_5714),
        (0, "aether", "", "alice".to_owned(), 0xdf97_92e1_feca_ec93),
        (1, "aether", "account", "alice".to_owned(), 0x635d_a3cf_7ccb_f444),
        (u64::MAX, "aether", "account", "alice".to_owned(), 0x8ecd_9807_09ad_b068),
        (
            0x005e_ed0f_ae7e_4a11,
            "bank-eu_2",
            "account",
            "7f3c2b1e-9a44-4c0e-8f53-0d2a6b9c1e77".to_owned(),
            0xd0cf_10ea_dd8b_4627,
        ),
        (0x005e_ed0f_ae7e_4a11, "bank-eu_2", "account", "über/ .>*".to_owned(), 0xdfaf_7314_46f5_e329),
        (0, "a", "b", "c".to_owned(), 0x327a_4aa4_0ab1_2f81),
        (0, "a", "", "c".to_owned(), 0x2d57_c001_9d59_9c70),
        (42, "bank", "account", "x".repeat(128), 0xdbf3_f527_8262_bd95),
        (42, LONG, LONG, "x".repeat(128), 0xc230_b346_3426_f5e7),
        (42, LONG, "", "x".repeat(128), 0x06ab_8905_ec94_8c24),
        (42, LONG, "", "x".repeat(129), 0xf0f4_f355_b923_2d14),
        (42, LONG, "", "x".repeat(1000), 0xe365_0ec1_a0aa_d34c),
    ]
}

#[test]
fn the_golden_vectors_hold_in_both_implementations() {
    for (seed, namespace, kind, key, expected) in golden() {
        assert_eq!(second_opinion(seed, namespace, kind, &key), expected, "the second implementation, {kind}/{key}");
        assert_eq!(ours(seed, namespace, kind, &key), expected, "{seed:#x} {namespace} {kind}/{key}");
    }
}

#[test]
fn an_address_carries_the_top_bits_of_the_hash() {
    let hash = ShardHash::v1(7, &Namespace::new("bank").expect("a namespace"));
    let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("alice").expect("an id") };
    let full = hash.hash(&key.kind, &key.id);
    let address = hash.address(key);
    assert_eq!(u64::from(address.slot.0), full >> 48);
    for log2 in 0..=16 {
        let shards = ShardCount::new(1 << log2).expect("a power of two");
        let top_bits = u32::try_from(u128::from(full) >> (64 - log2)).expect("at most 16 bits");
        assert_eq!(u32::from(address.slot.shard(shards).0), top_bits);
    }
}

#[test]
fn a_co_location_key_ignores_the_kind_and_never_meets_an_id() {
    let hash = ShardHash::v1(7, &Namespace::new("bank").expect("a namespace"));
    let alone = hash.hash(&ActorKind::new("account").expect("a kind"), &ActorId::new("alice").expect("an id"));
    assert_ne!(alone, hash.hash_colocated("alice"));
}

#[test]
fn an_actor_moves_when_any_part_of_its_frame_changes() {
    let base = ours(1, "ab", "cd", "ef");
    for (seed, namespace, kind, key) in [
        (2, "ab", "cd", "ef"),
        (1, "a", "bcd", "ef"),
        (1, "ab", "c", "def"),
        (1, "ab", "cde", "f"),
        (1, "abc", "d", "ef"),
    ] {
        assert_ne!(base, ours(seed, namespace, kind, key), "{seed} {namespace} {kind} {key}");
    }
}

#[test]
fn realistic_ids_spread_over_the_shards() {
    let hash = ShardHash::v1(0, &Namespace::new("bank").expect("a namespace"));
    let kind = ActorKind::new("account").expect("a kind");
    let mut load = vec![0_u32; 64];
    for nth in 0..64_000 {
        let id = ActorId::new(format!("customer-{nth:08}")).expect("an id");
        let ShardId(shard) = ShardHash::slot(hash.hash(&kind, &id)).shard(ShardCount::new(64).expect("64"));
        load[usize::from(shard)] += 1;
    }
    // The mean is 1000 with a standard deviation of 31.
    assert!(load.iter().all(|actors| (850..1150).contains(actors)), "{load:?}");
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn both_implementations_agree_on_every_frame(
        seed: u64, namespace in "[a-z0-9_-]{1,32}", kind in "[a-z0-9_-]{0,32}", key in ".{1,40}|[a-z]{1,128}",
    ) {
        prop_assume!(key.len() <= 128);
        prop_assert_eq!(ours(seed, &namespace, &kind, &key), second_opinion(seed, &namespace, &kind, &key));
    }

    #[test]
    fn a_long_co_location_key_has_the_same_hash_in_both(seed: u64, key in "[a-z]{0,1200}") {
        prop_assert_eq!(ours(seed, "bank", "", &key), second_opinion(seed, "bank", "", &key));
    }
}
