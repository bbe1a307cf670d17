//! Flags are parsed before anything is set up or built.

use clap::CommandFactory as _;
use clap::Parser as _;
use clap::error::ErrorKind;

use super::{CommandLine, Verb};

/// What the parser prints about `words`, and which kind of end that is.
fn refused(words: &str) -> (ErrorKind, String) {
    let error = CommandLine::try_parse_from(format!("xtask {words}").split(' '))
        .expect_err("these words are no command");
    (error.kind(), error.to_string())
}

#[test]
fn the_definition_of_the_verbs_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn a_misspelt_flag_or_name_is_refused_with_a_similar_one() {
    for (words, tip) in [
        ("demo --chekc", "similar argument exists: '--check'"),
        ("replay --svgg plot.svg", "similar argument exists: '--svg'"),
        ("bench data-pth", "similar subcommand exists: 'data-path'"),
        ("bench data-path --only frsh", "similar value exists: 'fresh'"),
        (
            "bench control --only refresh_strom",
            "similar value exists: 'refresh_storm'",
        ),
        ("test --suite servic", "similar value exists: 'service'"),
        ("release --dryrun", "similar argument exists: '--dry-run'"),
        ("dmo", "similar subcommand exists: 'demo'"),
    ] {
        let (_, text) = refused(words);
        assert!(text.contains(tip), "{words}: {text}");
    }
}

#[test]
fn what_resembles_nothing_is_refused_too() {
    for (words, kind) in [
        ("demo now", ErrorKind::UnknownArgument),
        ("replay --x", ErrorKind::UnknownArgument),
        ("bench no-such", ErrorKind::InvalidSubcommand),
        (
            "bench data-path --seconds-per-latency-round 0",
            ErrorKind::ValueValidation,
        ),
        ("bench memory --rounds 0", ErrorKind::ValueValidation),
        ("bench control --sessions 999", ErrorKind::ValueValidation),
        ("test --suite x", ErrorKind::InvalidValue),
        ("release", ErrorKind::MissingRequiredArgument),
        ("release --dry-run --publish dist", ErrorKind::ArgumentConflict),
        ("release --publish dist --out dist", ErrorKind::ArgumentConflict),
    ] {
        assert_eq!(refused(words).0, kind, "{words}");
    }
}

#[test]
fn help_lists_the_flags_of_the_program_itself() {
    let (kind, text) = refused("demo --help");
    assert_eq!(kind, ErrorKind::DisplayHelp);
    for flag in ["--check", "--dex", "--json <FILE>"] {
        assert!(text.contains(flag), "{flag}: {text}");
    }
}

#[test]
fn the_flags_that_the_programs_have_are_accepted() {
    let words = ["xtask", "demo", "--check", "--json", "counts.json"];
    let command_line = CommandLine::try_parse_from(words).expect("a valid command");
    let Verb::Demo(flags) = command_line.verb else {
        panic!("another verb");
    };
    assert!(flags.check && !flags.dex);
    assert_eq!(flags.json.as_deref(), Some("counts.json".as_ref()));
}
