//! Signals, a closed output, a terminal.

use super::*;

#[test]
fn ctrl_c_finishes_what_was_read() {
    let way = holds();
    let mut client = Fed::start(&["-j", "1"], &way.urls(&["/?held", "/quick"]));
    way.faults.wait_held(1);
    let mut errors = client.interrupt();
    way.faults.release();
    // The input is open still.
    assert_eq!(client.result()["status"], 200);
    let (status, lines) = client.program.end();
    assert_eq!(status.code(), Some(130));
    assert!(lines.len() <= 1, "{lines:?}"); // the second may not have been read
    let mut summary = String::new();
    errors.read_to_string(&mut summary).unwrap();
    assert_eq!(counted(&summary, "all"), 1 + lines.len());
    assert!(summary.contains("0 failed"), "{summary}");
}

#[test]
fn a_second_ctrl_c_cancels() {
    let way = holds();
    let mut client = Fed::start(&["-j", "1"], &way.urls(&["/?held"]));
    way.faults.wait_held(1);
    let mut errors = client.interrupt();
    client.program.signal(Signal::INT);
    // The server says nothing, and the time limit is far.
    assert_eq!(client.result(), way.failed(1, "/?held", "cancelled", 1));
    let (status, lines) = client.program.end();
    assert_eq!((status.code(), lines.len()), (Some(130), 0));
    let mut summary = String::new();
    errors.read_to_string(&mut summary).unwrap();
    assert_eq!(counted(&summary, "cancelled"), 1);
}

#[test]
fn a_closed_output_ends_it_quietly() {
    let way = holds();
    let mut command = client(&["--unordered"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // One is held by the server, and the input is open.
    for url in way.urls(&["/?held", "/quick"]) {
        writeln!(input, "{url}").unwrap();
    }
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(result(&line)["line"], 2);
    writeln!(input, "{}", way.faults.url("/another")).unwrap();
    drop(input);
    let output = ended(child);
    assert_eq!(output.status.code(), Some(1)); // not all results were taken
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let way = holds();
    let file = std::env::temp_dir().join(format!("batch-client-{}.txt", std::process::id()));
    fs::write(
        &file,
        way.urls(&["/quick", "/?held", "/missing"]).join("\n"),
    )
    .unwrap();
    let mut terminal = Terminal::new();
    let mut command = client(&[file.to_str().unwrap()]);
    terminal.attach(&mut command);
    let spawned = command.spawn().unwrap();
    drop(command); // it holds the terminal, too
    let mut program = Program::silent(spawned);
    terminal.wait_for("2/3", false);
    way.faults.release();
    let (status, _) = program.end();
    terminal.finish();
    fs::remove_file(&file).unwrap();
    assert_eq!(status.code(), Some(0));
    let screen = terminal.text();
    assert_eq!(counted(&screen, "all"), 3);
    assert!(
        screen.contains(r#""line":3"#) && !screen.contains("2/3"),
        "{screen}"
    );
}
