//! The terminal: what is drawn on it, and the keys that come from it.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Drawn, Text};
use ratatui::widgets::Paragraph;
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::frame::{Line, Look, lines};
use crate::admin::api::Figures;
use crate::cli::command::Sort;
use crate::cli::human;

/// How long the listening thread goes without looking whether it is still wanted.
const SLICE: Duration = Duration::from_millis(100);

/// The terminal while it is ours. Dropped, it is as it was, on a panic too: ratatui's hook sees to
/// that.
pub struct Shown(ManuallyDrop<DefaultTerminal>);

impl Shown {
    pub fn open() -> io::Result<Self> {
        ratatui::try_init().map(ManuallyDrop::new).map(Self).inspect_err(|_| ratatui::restore())
    }

    pub fn draw(
        &mut self,
        before: Option<&Figures>,
        now: &Figures,
        sort: Sort,
        trouble: Option<&str>,
    ) -> io::Result<()> {
        let mut all = lines(before, now, sort);
        if let Some(trouble) = trouble {
            all.insert(1, Line { text: human::text(trouble), look: Look::Bad });
        }
        self.0.draw(|frame| render(frame, &all)).map(drop)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // A terminal that is gone needs none of this. ratatui's own way of dropping tells standard
        // error about it, which may be gone as well: a panic.
        let _ = self.0.show_cursor().and_then(|()| ratatui::try_restore());
    }
}

/// Puts the lines on the screen; the last row says which keys there are.
fn render(frame: &mut Frame<'_>, all: &[Line]) {
    let mut area = frame.area();
    let room = usize::from(area.height.saturating_sub(1));
    let style = |look| match look {
        Look::Plain => Style::default(),
        Look::Head => Style::default().add_modifier(Modifier::BOLD),
        Look::Bad => Style::default().fg(Color::Red),
    };
    let drawn = all.iter().take(room).map(|line| Drawn::styled(&*line.text, style(line.look)));
    frame.render_widget(Paragraph::new(Text::from_iter(drawn)), area);
    if area.height > 0 {
        area.y += area.height - 1;
        area.height = 1;
        let keys = Drawn::styled("s sorts the users  q leaves", Modifier::REVERSED);
        frame.render_widget(Paragraph::new(keys), area);
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    Sort,
    Redraw,
    Leave,
}

/// Listens for keys in a thread of its own: reading a terminal blocks. Nobody waits for the thread: of
/// a terminal that goes away while it is read, crossterm reads nothing for ever.
pub struct Keys {
    presses: UnboundedReceiver<Press>,
    done: Arc<AtomicBool>,
}

impl Keys {
    pub fn listen() -> Self {
        let (tell, presses) = unbounded_channel();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        std::thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                // A terminal that is gone is as good as a wish to leave.
                let press = match await_key(io::stdin()).and_then(|()| event::poll(Duration::ZERO))
                {
                    Ok(false) => continue,
                    Ok(true) => event::read().map(press),
                    Err(error) => Err(error),
                };
                let press = press.unwrap_or(Some(Press::Leave));
                if press.is_some_and(|press| tell.send(press).is_err() || press == Press::Leave) {
                    return;
                }
            }
        });
        Self { presses, done }
    }

    pub async fn next(&mut self) -> Option<Press> {
        self.presses.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// Waits for a slice of time, or less if there is something to read. Fails once the other side of
/// the terminal is gone.
fn await_key(terminal: impl AsFd) -> io::Result<()> {
    let slice = Timespec::try_from(SLICE).expect("a tenth of a second is a time");
    let mut polled = [PollFd::new(&terminal, PollFlags::IN)];
    match poll(&mut polled, Some(&slice)) {
        Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
        _ => {}
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    match polled[0].revents().intersects(gone) {
        true => Err(io::ErrorKind::BrokenPipe.into()),
        false => Ok(()),
    }
}

fn press(event: Event) -> Option<Press> {
    match event {
        Event::Resize(..) => Some(Press::Redraw),
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => None,
        Event::Key(KeyEvent { code, modifiers, .. }) => match code {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Press::Leave),
            KeyCode::Char('q') | KeyCode::Esc => Some(Press::Leave),
            KeyCode::Char('s') => Some(Press::Sort),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::admin::fake::figures;

    #[test]
    fn a_frame_fits_its_screen() {
        let all = lines(Some(&figures(1)), &figures(2), Sort::Bytes);
        for (width, height) in [(120, 30), (40, 5), (10, 1), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| render(frame, &all)).unwrap();
            let buffer = terminal.backend().buffer();
            let row = |y: u16| -> String {
                (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect()
            };
            let keys = "s sorts the users  q leaves";
            let shown = row(height - 1);
            let seen = usize::from(width).min(keys.len());
            assert_eq!(&shown[..seen], &keys[..seen]);
            if height > 1 {
                assert!(row(0).starts_with("gatepost 0"), "{}", row(0));
            }
        }
    }

    #[test]
    fn a_terminal_that_is_gone_is_noticed() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        await_key(&ours).unwrap();
        drop(theirs);
        assert!(await_key(&ours).is_err());
    }

    #[test]
    fn keys_mean_what_the_last_row_says() {
        let key = |code, modifiers| press(Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('q'), none), Some(Press::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Press::Leave));
        assert_eq!(key(KeyCode::Char('c'), none), None);
        assert_eq!(key(KeyCode::Char('s'), none), Some(Press::Sort));
        assert_eq!(press(Event::Resize(1, 1)), Some(Press::Redraw));
    }
}
