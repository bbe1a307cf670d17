//! Minimum and median: the two that survive a busy machine.

/// The smallest value; 0 of none.
pub(super) fn minimum(values: &[f64]) -> f64 {
    let smallest = values.iter().copied().reduce(f64::min);
    smallest.unwrap_or_default()
}

/// The median; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(half)) {
        (_, None) => 0.0,
        (1, Some(middle)) => *middle,
        (_, Some(upper)) => f64::midpoint(sorted[half - 1], *upper),
    }
}

/// `one[i]` and `other[i]` are of the same round: `combine`d round by round.
pub(super) fn paired(one: &[f64], other: &[f64], combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    one.iter()
        .zip(other)
        .map(|(one, other)| combine(*one, *other))
        .collect()
}

/// Two decimals: more would claim what was not measured.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
