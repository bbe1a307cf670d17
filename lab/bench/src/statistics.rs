//! Minimum, median and what is around them: what survives a busy machine.

#[cfg(test)]
mod tests;

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

/// The mean; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Where the median of more such values lies with 95 % confidence, whatever their distribution: order statistics, their
/// ranks by the normal approximation of the binomial distribution; 0 of none.
pub(super) fn interval_of_median(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, reach) = (sorted.len() as f64, 0.98 * (sorted.len() as f64).sqrt());
    let at = |rank: f64| {
        let last = sorted.len().saturating_sub(1);
        sorted.get((rank as usize).min(last)).copied().unwrap_or_default()
    };
    [
        at((count / 2.0 - reach).floor().max(0.0)),
        at((count / 2.0 + reach).ceil()),
    ]
}

/// The quartiles, nearest rank: a quarter of the values is at most the first, three quarters at most the second; 0 of
/// none.
pub(super) fn quartiles(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.75].map(|share| {
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    })
}
