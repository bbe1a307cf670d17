//! Which addresses documents are fetched from: only public ones (RFC 6890 and IANA's special-purpose registries). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of [`Ipv4Addr`]s that are not public, with their prefix lengths.
const IPV4: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Carrier-grade NAT, and the metadata service of some clouds (100.100.100.200).
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local, and the metadata service of most clouds (169.254.169.254).
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved and broadcast.
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Global unicast: the only part of IPv6 in use.
const GLOBAL_UNICAST: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// The translation of IPv4 addresses in networks without IPv4 (RFC 6052 §2.1); the last 32 bits decide.
const NAT64: ([u16; 8], u32) = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// Networks within [`GLOBAL_UNICAST`] that are not public, with their prefix lengths.
const IPV6: [([u16; 8], u32); 4] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4: leads to any IPv4 address.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Whether `address` is public.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            let is_in = |network: &([u16; 8], u32)| is_in_v6(address, *network);
            if is_in(&NAT64) {
                let embedded = u32::try_from(address.to_bits() & u128::from(u32::MAX));
                return embedded.is_ok_and(|bits| is_public_v4(Ipv4Addr::from_bits(bits)));
            }
            is_in(&GLOBAL_UNICAST) && !IPV6.iter().any(is_in)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !IPV4.iter().any(|(network, prefix_bits)| {
        let host_bits = u32::BITS - prefix_bits;
        address.to_bits() >> host_bits == Ipv4Addr::from(*network).to_bits() >> host_bits
    })
}

fn is_in_v6(address: Ipv6Addr, (network, prefix_bits): ([u16; 8], u32)) -> bool {
    let host_bits = u128::BITS - prefix_bits;
    address.to_bits() >> host_bits == Ipv6Addr::from(network).to_bits() >> host_bits
}
