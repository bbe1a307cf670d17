//! How exact a median is.

use super::interval_of_median;

#[test]
fn the_interval_of_a_median_narrows_with_more_values() {
    let values = |count: u32| -> Vec<f64> {
        (0..count)
            .map(|value| f64::from(value) / f64::from(count))
            .collect()
    };
    assert_eq!(interval_of_median(&[]), [0.0, 0.0]);
    assert_eq!(interval_of_median(&[3.0, 1.0]), [1.0, 3.0]);
    // Ranks 41 and 61 of 100: the usual table.
    assert_eq!(interval_of_median(&values(100)), [0.40, 0.60]);
    let [first, last] = interval_of_median(&values(10_000));
    assert!(first > 0.489 && last < 0.511, "{first} {last}");
}
