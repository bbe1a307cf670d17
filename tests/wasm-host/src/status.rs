//! What a host call returns.

/// The statuses that the Rust SDK knows. Any other number is undefined behaviour in its `#[repr(u32)]` enum, so
/// the host never returns one; where Envoy would (an address outside the memory, for example), the host traps instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such key, property, metric or queue.
    NotFound = 1,
    /// Not possible here: a header map that is closed, an unknown cluster, a context that is gone.
    BadArgument = 2,
    /// Could not be encoded.
    SerializationFailure = 3,
    /// Could not be decoded.
    ParseFailure = 4,
    /// The queue holds nothing.
    Empty = 7,
    /// Somebody else was first.
    CasMismatch = 8,
    /// The cluster has no host, or its circuit breaker is open.
    InternalFailure = 10,
}
