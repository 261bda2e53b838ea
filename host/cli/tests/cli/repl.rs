//! With nothing to run and a terminal, there is a REPL. `script` gives it the terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::LIMIT;

/// What Ctrl-C sends.
const CTRL_C: &str = "\x03";

/// A `vtwasm run` on a terminal of its own.
struct Terminal {
    child: Child,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(args: &str) -> Terminal {
        let mut command = Command::new("script");
        // Without exec, a shell that stays (dash) would get the Ctrl-C too, and end with it.
        let line = format!("exec {} run {args}", env!("CARGO_BIN_EXE_vtwasm"));
        command.args(["-qefc", &line, "/dev/null"]).env("TERM", "dumb");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("script, which Debian always has");
        let mut output = child.stdout.take().expect("it is piped");
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 1000];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                let _ = sender.send(chunk[..length].to_vec());
            }
        });
        Terminal {
            child,
            screen,
            seen: String::new(),
        }
    }

    /// Waits until `text` is on the screen, and forgets everything up to it.
    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let chunk = self.screen.recv_timeout(LIMIT);
            let chunk = chunk.unwrap_or_else(|_| panic!("{text:?} never came after {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&chunk);
        }
        let end = self.seen.find(text).expect("it was found") + text.len();
        self.seen.drain(..end);
    }

    fn type_keys(&mut self, keys: &str) {
        let keyboard = self.child.stdin.as_mut().expect("it is piped");
        keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| keyboard.flush())
            .expect("script reads");
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("it is our child").code()
    }
}

#[test]
fn a_terminal_and_nothing_to_run_is_a_repl() {
    let mut terminal = Terminal::start("");
    terminal.expect("Python 3.13");
    terminal.expect(">>> ");
    terminal.type_keys("import threading; threading.Thread(target=print, args=('a' 'b',)).start()\n");
    terminal.expect("ab\r\n");
    terminal.type_keys(CTRL_C);
    terminal.expect("KeyboardInterrupt");
    terminal.expect(">>> ");
    terminal.type_keys("exit(6)\n");
    assert_eq!(terminal.exit_code(), Some(6));
}

#[test]
fn a_repl_starts_without_warnings() {
    let mut terminal = Terminal::start("");
    terminal.expect("Python 3.13");
    terminal.expect("information.\r\n>>> ");
    terminal.type_keys("exit()\n");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn two_quick_interrupts_end_a_repl() {
    let mut terminal = Terminal::start("-q");
    terminal.expect(">>> ");
    terminal.type_keys(CTRL_C);
    terminal.expect("KeyboardInterrupt");
    terminal.type_keys(CTRL_C);
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn a_program_can_be_followed_by_a_repl() {
    let mut terminal = Terminal::start("-i -c 'value=6*7'");
    terminal.expect(">>> ");
    terminal.type_keys("value\n");
    terminal.expect("42\r\n");
    terminal.type_keys("raise SystemExit\n");
    assert_eq!(terminal.exit_code(), Some(0));
}
