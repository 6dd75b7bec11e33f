//! A pseudo-terminal with a screen that is not ours.

use crate::support::BOUND;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

/// The side of the user: the keyboard, and what is on the screen.
pub(crate) struct Terminal {
    keyboard: File,
    /// The side of the program. While it is open, nothing that was written is lost.
    device: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Makes one of 40 lines and 120 columns.
    pub(crate) fn new() -> Self {
        // It becomes the terminal of no process: Ctrl-C must not reach the tests.
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let device = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&device, size).unwrap();
        let keyboard = File::from(keyboard);
        let output = bytes_of(keyboard.try_clone().unwrap());
        Self {
            keyboard,
            device,
            output,
            screen: vt100::Parser::new(40, 120, 0),
        }
    }

    /// Has a program use it for all of its input and output.
    pub(crate) fn attach(&self, command: &mut Command) {
        let device = || Stdio::from(self.device.try_clone().unwrap());
        command.stdin(device()).stdout(device()).stderr(device());
        command.env("TERM", "xterm-256color");
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Presses keys at each new picture, until a text is there.
    pub(crate) fn press_until(&mut self, keys: &str, text: &str) {
        let begun = Instant::now();
        while !self.text().contains(text) {
            assert!(begun.elapsed() < BOUND, "{text:?} does not come");
            self.press(keys);
            let bytes = self.output.recv_timeout(BOUND).unwrap();
            self.screen.process(&bytes);
        }
    }

    /// Waits for a text on the screen, in the alternate screen or not.
    pub(crate) fn wait_for(&mut self, text: &str, is_alternate: bool) {
        self.wait_until(text, &|screen| {
            screen.contents().contains(text) && screen.alternate_screen() == is_alternate
        });
    }

    pub(crate) fn wait_for_hidden_cursor(&mut self) {
        self.wait_until("a hidden cursor", &vt100::Screen::hide_cursor);
    }

    fn wait_until(&mut self, what: &str, is_there: &dyn Fn(&vt100::Screen) -> bool) {
        while !is_there(self.screen.screen()) {
            match self.output.recv_timeout(BOUND) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("{what} does not come; there is\n{}", self.text()),
            }
        }
    }

    /// Takes what the program has written before its end. It must have left the alternate screen.
    pub(crate) fn finish(&mut self) {
        let mut device = File::from(self.device.try_clone().unwrap());
        device.write_all(b"<end>").unwrap();
        self.wait_for("<end>", false);
    }

    pub(crate) fn text(&self) -> String {
        self.screen.screen().contents()
    }

    pub(crate) fn is_cursor_hidden(&self) -> bool {
        self.screen.screen().hide_cursor()
    }

    /// Returns the modes of the terminal: raw or not, with echo or not.
    pub(crate) fn modes(&self) -> String {
        let modes = tcgetattr(&self.device).unwrap();
        format!(
            "{:?} {:?} {:?} {:?}",
            modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes
        )
    }
}

fn bytes_of(mut terminal: File) -> Receiver<Vec<u8>> {
    let (send, output) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // It fails once the other side is closed.
        while let Ok(n @ 1..) = terminal.read(&mut buffer) {
            if send.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}
