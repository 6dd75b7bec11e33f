//! What is said when nobody can go on.
//!
//! Layer 0.

use crate::sim::turns::{At, Stand, Turns};
use std::sync::Arc;
use std::time::Duration;

/// Who waits at what.
pub(crate) struct Waits(Vec<(Arc<str>, What)>);

enum What {
    At(At),
    Text(String),
}

impl Waits {
    /// Taken with the turns locked, and told without: what is waited for may look at itself.
    pub(crate) fn of(turns: &Turns) -> Self {
        let what = |stand: &Stand| match stand {
            Stand::Blocked {
                at: At::End(id), ..
            } => {
                let member = turns.members.get(id);
                let name = member.map_or("a thread", |member| &*member.name);
                What::Text(format!("the end of {name}"))
            }
            Stand::Blocked { at, .. } => What::At(at.clone()),
            Stand::Ready | Stand::Idle(_) => What::Text("its turn".to_owned()),
        };
        let members = turns.members.values();
        Self(
            members
                .map(|member| (member.name.clone(), what(&member.stand)))
                .collect(),
        )
    }

    pub(crate) fn tell(self, elapsed: Duration) -> String {
        let mut text = format!(
            "the simulation cannot go on after {elapsed:?}: nobody can, and nothing is due."
        );
        for (name, what) in self.0 {
            let what = match what {
                What::At(At::Wake(at)) => at
                    .upgrade()
                    .map_or("what is gone".to_owned(), |at| at.what()),
                What::At(_) => "what it asks for again and again".to_owned(),
                What::Text(text) => text,
            };
            text.push_str(&format!("\n  {name} waits for {what}"));
        }
        text
    }
}
