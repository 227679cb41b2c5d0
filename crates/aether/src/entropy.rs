//! Where a process gets its first random number from; everything random later grows from it.

/// 62 bits from the operating system, different in every call.
pub(crate) fn seed() -> u64 {
    // The low half of a version 7 UUID is random but for its two variant bits.
    uuid::Uuid::now_v7().as_u64_pair().1
}
