//! A bound and the numbers within it.

use super::Bound;

#[test]
fn a_bound_holds_up_to_its_number() {
    let holds = |bound: Bound| [1, 2, 3].map(|found| bound.holds(found));
    assert_eq!(holds(Bound::Exactly(2)), [false, true, false]);
    assert_eq!(holds(Bound::AtMost(2)), [true, true, false]);
    assert_eq!(holds(Bound::AtLeast(2)), [false, true, true]);
}
