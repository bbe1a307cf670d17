//! What h2load prints is read.

use super::{Said, read};

#[test]
fn the_rate_and_the_answers_by_class_are_read() {
    let text = "Application protocol: http/1.1\n\nfinished in 254.12ms, 7870.25 req/s, 307.43KB/s\n\
                requests: 2000 total, 2000 started, 2000 done, 1990 succeeded, 10 failed, 0 errored, 0 timeout\n\
                status codes: 1990 2xx, 0 3xx, 10 4xx, 0 5xx\ntraffic: 78.13KB (80000) total\n";
    let expected = Said {
        per_second: 7870.25,
        by_class: [1990, 0, 10, 0],
    };
    assert_eq!(read(text), Some(expected));
    assert_eq!(read("spawning thread #0\n"), None);
}
