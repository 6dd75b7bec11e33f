//! No trait, downcast or seam that only turns an arrow round: a private trait has several implementors, or a reason.

use super::source::{Source, assert_none, find_word, is_word, sources};

const MOST: usize = 8;

/// The private traits, each with the sentence that says who implements it.
const PRIVATE: &[(&str, &str)] = &[
    (
        "Algorithm",
        "the two kinds of rate limiters, as `RateLimiter::keyed` takes them",
    ),
    (
        "Body",
        "a closure that runs once, one that is retried, and the value of a promise",
    ),
    (
        "ClockWaiter",
        "what a clock or the timer wakes: a thread that waits by a test's clock, the deadline of a token, the alarm of a gate, a \
         planned schedule; the timer and a worker of a simulated pool",
    ),
    ("TaskPool", "the pool, as its tasks call it"),
    (
        "Waiter",
        "a blocked thread, and a task that waits at a gate",
    ),
    (
        "Watch",
        "a set of handles, a scope and a pipeline, notified when a task settles",
    ),
    ("Worker", "the worker, as all that blocks calls it"),
];

/// Those of `PRIVATE` with a single implementor here: who else fills the seam, or which folder is called through it.
const ONE_IMPLEMENTOR: &[(&str, &str)] = &[
    (
        "TaskPool",
        "`task/` stands below `pool/`: a task goes back to the queue and the timer",
    ),
    (
        "Worker",
        "`cancel/` stands below `pool/`: a wait there releases the run slot",
    ),
];

/// Where a value is downcast, and whose type it is: never one of the library's own.
const DOWNCASTS: &[(&str, &str)] = &[
    (
        "compose/failures",
        "`Failures::pick` looks for the caller's error type",
    ),
    (
        "compose/pipeline/pipeline",
        "an item between two stages is of the user's type",
    ),
    (
        "compose/scope/body",
        "the error of a scoped body is of the user's type",
    ),
    (
        "context_var",
        "a context holds the values of all variables, each of a user's type",
    ),
    (
        "panic",
        "a panic's payload is the user's; a checkpoint's travels the same way",
    ),
    (
        "pool/worker_local",
        "a worker holds the values of all its locals, each of a user's type",
    ),
    (
        "task/group_error",
        "the error of a body of a group is of the user's type",
    ),
    (
        "task/body",
        "the value is moved into the `Option<T>` of the caller",
    ),
];

fn word_after(code: &str, at: usize) -> &str {
    let rest = code[at..].trim_start();
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

/// The traits that a file defines, by place and name.
fn traits_of(source: &Source) -> Vec<(usize, &str)> {
    let code = &source.shipped;
    let named = find_word(code, "trait").map(|at| (at, word_after(code, at + "trait".len())));
    named.filter(|(_, name)| !name.is_empty()).collect()
}

/// How often the code says `impl .. Name .. for`.
fn implementors(code: &str, name: &str) -> usize {
    let is_implemented = |at: &usize| {
        let rest = &code[at + "impl".len()..];
        let head = &rest[..rest.find(['{', ';']).unwrap_or(rest.len())];
        let of = find_word(head, "for").next().map(|at| &head[..at]);
        of.is_some_and(|of| {
            // Past the parameters of the implementation itself; then the name stands first.
            let of = of.trim_start();
            let generic = of.starts_with('<').then(|| closing_angle(of));
            let path = of[generic.unwrap_or(0)..].trim();
            let path = &path[..path.find('<').unwrap_or(path.len())];
            path.rsplit("::").next() == Some(name)
        })
    };
    find_word(code, "impl").filter(is_implemented).count()
}

/// The place after the bracket that closes the `<` at the beginning.
fn closing_angle(text: &str) -> usize {
    let mut depth = 0;
    let mut before = ' ';
    let end = text.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>' && before != '-');
        before = c;
        depth == 0
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The names in the `pub use` lists of `lib.rs` and of its public modules.
fn exported() -> Vec<&'static str> {
    let find = |name: &str| sources().iter().find(|source| source.name == name);
    let lib = &find("lib").unwrap().code;
    let modules = find_word(lib, "pub mod").map(|at| word_after(lib, at + "pub mod".len()));
    let files = modules.filter_map(|name| find(&format!("{name}/mod")).or_else(|| find(name)));
    let codes = files.map(|file| &file.code).chain([lib]);
    let lists = codes.flat_map(|code| {
        find_word(code, "pub use").map(|at| {
            let rest = &code[at..];
            &rest[..rest.find(';').unwrap_or(rest.len())]
        })
    });
    lists.flat_map(|list| list.split(|c| !is_word(c))).collect()
}

#[test]
fn private_traits_are_few_and_have_several_implementors() {
    let exported = exported();
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for source in sources() {
        for (at, name) in traits_of(source)
            .into_iter()
            .filter(|(_, name)| !exported.contains(name))
        {
            found.push(name);
            let count = |source: &Source| implementors(&source.shipped, name);
            let count: usize = sources().iter().map(count).sum();
            let is_listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| *listed == name);
            if !is_listed(PRIVATE) {
                wrong.push(format!(
                    "{}: {name} is not in PRIVATE ({count} implementors)",
                    source.at(at)
                ));
            } else if (count < 2) != is_listed(ONE_IMPLEMENTOR) {
                wrong.push(format!(
                    "{}: {name} has {count} implementors",
                    source.at(at)
                ));
            }
        }
    }
    assert_none("private traits", &wrong);
    assert!(found.len() <= MOST, "at most {MOST}: {found:?}");
    let lists = PRIVATE.iter().chain(ONE_IMPLEMENTOR);
    let gone: Vec<_> = lists.filter(|(name, _)| !found.contains(name)).collect();
    assert!(gone.is_empty(), "take them out of the lists: {gone:?}");
}

#[test]
fn only_types_of_the_users_are_downcast() {
    let casts = |source: &Source| {
        let code = &source.shipped;
        let found = code.match_indices(".downcast").map(|(at, _)| source.at(at));
        found.collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for source in sources() {
        let allowed = DOWNCASTS.iter().any(|(file, _)| *file == source.name);
        let found = casts(source);
        assert!(
            !allowed || !found.is_empty(),
            "take {} out of DOWNCASTS",
            source.name
        );
        wrong.extend(found.into_iter().filter(|_| !allowed));
    }
    assert_none("downcasts", &wrong);
    let exists = |file: &str| sources().iter().any(|source| source.name == file);
    assert!(DOWNCASTS.iter().all(|(file, _)| exists(file)));
}

#[test]
fn traits_and_their_implementors_are_seen() {
    let source = Source::new(
        "x",
        "/// A trait of x.\npub(crate) trait A<T>: B {}\ntrait C {}",
    );
    let names: Vec<_> = traits_of(&source)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["A", "C"]);
    let code = "impl A<u8> for X {} impl<T: C, F: Fn() -> T> crate::x::A<T> for Y<F> where T: C {}
        impl X { fn f(a: impl A<u8>) { for x in a {} } } impl C for A<u8> {}";
    assert_eq!((implementors(code, "A"), implementors(code, "C")), (2, 1));
    assert!(exported().contains(&"Handle") && !exported().contains(&"Joins"));
}
