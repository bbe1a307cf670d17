//! `bench control --only` accepts the names of all lanes and parts, and no others.

use tokenward_lab_cli::CONTROL_PARTS;

use super::{FIRST, LANES, LOGIN, SIZES, STORM};

#[test]
fn the_flags_name_every_lane_and_part() {
    let lanes = LANES.iter().map(|lane| lane.name);
    let names: Vec<_> = lanes.chain([FIRST, LOGIN, STORM, SIZES]).collect();
    assert_eq!(names, CONTROL_PARTS);
}
