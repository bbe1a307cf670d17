//! The order in which lanes are measured.

use super::super::lanes::{BARE, FLOOR, INSTALLED, INSTALLED_BASE, INSTALLED_FLOOR, LANES, NO_FILTER};
use super::plan;

fn names(number: usize) -> Vec<&'static str> {
    plan(&LANES, number).iter().map(|lane| lane.name).collect()
}

#[test]
fn every_lane_is_measured_in_every_round_and_the_floors_many_times() {
    for number in 0..40 {
        let names = names(number);
        let count = |wanted: &str| names.iter().filter(|name| **name == wanted).count();
        for lane in &LANES {
            assert!(count(lane.name) > 0, "{} in round {number}", lane.name);
        }
        assert!(count(NO_FILTER) >= 12 && count(FLOOR) >= 6 && count(BARE) >= 6);
        assert_eq!((count("fresh"), count(INSTALLED)), (1, 1));
    }
}

#[test]
fn the_installed_path_stands_between_its_own_floor_and_base() {
    for number in 0..40 {
        let names = names(number);
        let at = names.iter().position(|name| *name == INSTALLED).unwrap();
        let beside = [
            INSTALLED_BASE,
            INSTALLED_FLOOR,
            INSTALLED,
            INSTALLED_FLOOR,
            INSTALLED_BASE,
        ];
        assert_eq!(names[at - 2..=at + 2], beside);
    }
}

#[test]
fn each_round_begins_with_another_lane() {
    let firsts: Vec<_> = (0..4).map(|number| names(number)[2]).collect();
    let mut others = firsts.clone();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), firsts.len(), "{firsts:?}");
}
