//! The table of the replay fits a terminal of 80 columns.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tokenward_demo::Screen;
use tokenward_lab_cli::Look;

use super::Replay;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    let replay: Replay = serde_json::from_str(include_str!("../../../../docs/replay/replay.json")).unwrap();
    let paper = Paper::default();
    let look = Look {
        columns: 80,
        ..Look::plain()
    };
    replay.print(&Screen::new(paper.clone(), look));
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("requests that reached a server"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
