//! Compares cron with counting minute by minute, over every change of clocks of every zone from 1970
//! to 2040. Takes minutes, in release.

#[path = "it/cron_changes.rs"]
mod cron_changes;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test` and its like may ask for what it has.
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    println!("{}", cron_changes::all());
}
