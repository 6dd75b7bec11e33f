//! The links of a page.

use crate::url::Url;
use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};
use std::collections::HashSet;

/// Which attribute of which elements is a link.
const LINKS: [(&str, &[&str]); 2] = [
    ("href", &["a", "area", "link"]),
    (
        "src",
        &[
            "audio", "embed", "frame", "iframe", "img", "input", "script", "source", "track",
            "video",
        ],
    ),
];

/// Returns the links of a page, each once, in their order.
pub(crate) fn links(page: &Url, html: &[u8]) -> Vec<Url> {
    let mut emitter = DefaultEmitter::default();
    // So that the text of a script is no markup.
    emitter.naively_switch_states(true);
    let mut base = page.clone();
    let (mut links, mut seen) = (Vec::new(), HashSet::new());
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        let Token::StartTag(tag) = token else {
            continue;
        };
        if *tag.name == b"base" {
            let given = attribute(&tag, "href").and_then(|href| page.join(&href));
            base = given.unwrap_or(base);
        }
        let link = link(&tag).and_then(|link| base.join(&link));
        links.extend(link.filter(|link| seen.insert(link.clone())));
    }
    links
}

fn link(tag: &StartTag<()>) -> Option<String> {
    let is_named = |names: &[&str]| names.iter().any(|name| *tag.name == name.as_bytes());
    let (name, _) = LINKS.iter().find(|(_, elements)| is_named(elements))?;
    // A hint to the browser names a host, and no page of it.
    let hint = attribute(tag, "rel")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_hint = hint.contains("preconnect") || hint.contains("dns-prefetch");
    attribute(tag, name).filter(|_| !is_hint)
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag
        .attributes
        .get(&HtmlString::from(name.as_bytes().to_vec()))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(html: &str) -> Vec<String> {
        let page = Url::parse("http://h/a/b").unwrap();
        let links = links(&page, html.as_bytes());
        links.iter().map(Url::to_string).collect()
    }

    #[test]
    fn links_of_all_kinds_are_found_once() {
        let html = "<A HREF=c>c</A> <a href='c#top'>c</a> <img src=\"/d?x=1&amp;y=2\">\
            <link rel=stylesheet href=e.css><script src=//i/f.js>'<a href=no>'</script>\
            <!-- <a href=no> --><a name=no><a href='mailto:x@h'><iframe src=../g></iframe>\
            <link rel='preconnect' href='http://no'>";
        assert_eq!(
            found(html),
            [
                "http://h/a/c",
                "http://h/d?x=1&y=2",
                "http://h/a/e.css",
                "http://i/f.js",
                "http://h/g"
            ]
        );
    }

    #[test]
    fn a_base_moves_the_links_behind_it() {
        assert_eq!(found("<base href='/x/'><a href=y>"), ["http://h/x/y"]);
    }

    #[test]
    fn what_is_cut_off_does_not_count() {
        assert_eq!(found("<a href=c><a href='d"), ["http://h/a/c"]);
    }
}
