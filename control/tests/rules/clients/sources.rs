//! What one source may have control do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokenward_control::authorization::source::{Allowance, MOST_SOURCES, Source, SourceLimits};

const NOW_MS: u64 = 1_800_000_000_000;

fn source(address: &str) -> Source {
    Source::from(address.parse::<IpAddr>().expect("an address"))
}

fn allowed(limits: &SourceLimits, source: Source, now_ms: u64, attempts: usize) -> usize {
    (0..attempts)
        .filter(|_| limits.take(source, Allowance::Registration, now_ms).is_ok())
        .count()
}

#[test]
fn an_ipv6_source_is_its_64_network_and_an_ipv4_source_its_address() {
    assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
    assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
    assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
}

#[test]
fn a_flood_uses_up_its_own_allowance_only() {
    let limits = SourceLimits::default();
    let flood = source("192.0.2.1");
    assert_eq!(allowed(&limits, flood, NOW_MS, 1000), 60);
    let refused = limits
        .take(flood, Allowance::Registration, NOW_MS)
        .expect_err("used up");
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    assert_eq!(allowed(&limits, source("192.0.2.2"), NOW_MS, 10), 10);
    assert!(limits.take(flood, Allowance::Consent, NOW_MS).is_ok());
    assert_eq!(allowed(&limits, flood, NOW_MS + 5000, 1000), 5);
}

#[test]
fn a_flood_of_many_sources_shares_one_allowance_when_no_place_is_left() {
    let limits = SourceLimits::default();
    let numbered = |number: u32| Source::from(IpAddr::V4(Ipv4Addr::from(number)));
    for number in 0..u32::try_from(MOST_SOURCES).expect("small") {
        assert_eq!(allowed(&limits, numbered(number), NOW_MS, 1), 1);
    }
    let others: usize = (0..500)
        .map(|number| {
            let address = Ipv6Addr::from(u128::from(number + 1_u32) << 64);
            allowed(&limits, Source::from(IpAddr::V6(address)), NOW_MS, 1)
        })
        .sum();
    assert_eq!(others, 60);
    // Places are free again when the buckets are full again.
    assert_eq!(allowed(&limits, source("2001:db8::1"), NOW_MS + 1000, 100), 60);
}
