use super::Sample;
use crate::digest;

/// `count` records of which each third has state 1, counted with at most `most` states held; and how many were read.
fn counted(count: usize, most: usize) -> ([u64; 2], usize) {
    let mut sample = Sample::<2>::of_at_most(most);
    let mut reads = 0;
    for number in 0..count {
        let name = digest::hex_of_parts(&["record", &number.to_string()]);
        if sample.counts(&name) {
            reads += 1;
            sample.add(&name, usize::from(number % 3 == 0));
        }
    }
    assert!(sample.taken.len() <= most);
    (sample.by_state(), reads)
}

#[test]
fn few_records_are_counted_exactly() {
    assert_eq!(counted(0, 8), ([0, 0], 0));
    assert_eq!(counted(300, 300), ([200, 100], 300));
}

#[test]
fn of_many_records_few_are_read_and_the_states_are_in_proportion() {
    let (states, reads) = counted(100_000, 1000);
    assert!((500..12_000).contains(&reads), "{reads} reads");
    let share = |count: u64| count as f64 / 100_000.0;
    assert!((0.60..0.73).contains(&share(states[0])), "{states:?}");
    assert!((0.27..0.40).contains(&share(states[1])), "{states:?}");
    assert!(
        (99_990..=100_000).contains(&(states[0] + states[1])),
        "{states:?}"
    );
}

#[test]
fn a_record_that_is_gone_before_it_is_read_is_no_state() {
    let mut sample = Sample::<2>::of_at_most(8);
    assert!(sample.counts("ab12") && sample.counts("ffff"));
    sample.add("ab12", 1);
    assert_eq!(sample.by_state(), [0, 2]);
}
