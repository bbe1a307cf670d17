//! `bench data-path --only` accepts the names of all lanes, and no others.

use tokenward_lab_cli::DATA_PATH_LANES;

use super::LANES;

#[test]
fn the_flags_name_every_lane() {
    assert_eq!(LANES.map(|lane| lane.name), DATA_PATH_LANES);
}
