use millhand::jobs::{Job, JobContext, Jobs, Sqlite};
use millhand::{Shutdown, Signals, ThreadPool};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendMail {
    to: String,
}

impl Job for SendMail {
    const NAME: &'static str = "send-mail"; // stored with each job, so the type may be renamed
    type Output = ();
}

fn send(mail: SendMail, _: &JobContext) -> std::io::Result<()> {
    println!("a mail to {}", mail.to); // an error would be tried again, 10 times in an hour or two
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signals = Signals::install();
    let jobs = Jobs::open(Sqlite::open("app.db")?)?;
    let mail = jobs.enqueue(&SendMail { to: "ada@example.org".into() })?;
    println!("job {} is on the disk", mail.id()); // any process that has the file may do it
    let pool = ThreadPool::new(4)?;
    jobs.consumer(&pool).queue("default", 4).handle(send).start()?;
    println!("{}", pool.run_until(&signals, Shutdown::drain())?); // after Ctrl-C or SIGTERM
    Ok(())
}
