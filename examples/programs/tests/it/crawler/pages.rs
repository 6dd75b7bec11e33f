//! Which pages are asked for, and which links are broken.

use super::{crawler, lines, output, text};
use crate::support;
use crate::support::site::{Gate, Site, links, page, redirect, status};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn each_broken_link_is_a_line_and_a_site_without_ends_with_0() {
    let site = Site::of(|path| match path {
        "/" => links(&[
            "/a",
            "/b",
            "/gone",
            "/fault",
            "mailto:ann@h.org",
            "http:///x",
        ]),
        "/a" => links(&["/", "/gone", "#here", "picture.png"]),
        "/b" => links(&["/a"]),
        "/fault" => status(500),
        _ => status(404),
    });
    let broken = output(&[&site.url("/")]);
    assert_eq!(broken.status.code(), Some(1));
    assert_eq!(
        lines(&broken, &[&site]),
        [
            "404 /gone <- /",
            "404 /gone <- /a",
            "404 /picture.png <- /a",
            "500 /fault <- /",
            "invalid http:///x <- /",
        ]
    );
    let summary = text(&broken.stderr);
    assert!(summary.contains("broken links: 5"), "{summary}");
    // Each page once.
    assert_eq!(
        site.paths(),
        ["/", "/a", "/b", "/fault", "/gone", "/picture.png"]
    );

    let output = output(&[&site.url("/b"), "--depth", "0"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
}

#[test]
fn links_of_all_kinds_lead_where_a_browser_goes() {
    let site = Site::serve(|request, stream| {
        let host = stream.local_addr()?;
        let reply = match request.path.as_str() {
            "/a/b/" => page(&format!(
                "<a href=c></a> <a href=./d/></a> <img src=../e.png> <a href=/f></a> \
                 <script src='//{host}/g.js'></script> <a href='?h'></a> <a href='#i'></a> \
                 <a href='HTTP://{host}/j/../k'></a> <a href='l m'></a> <a href=''></a> \
                 <a href='../../../n&amp;o'></a> <!-- <a href=no> --> <a href=data:,no></a>"
            )),
            "/f" => page("<base href=/p/><a href=q></a>"),
            _ => page(""),
        };
        stream.write_all(reply.as_bytes())
    });
    assert_eq!(output(&[&site.url("/a/b/")]).status.code(), Some(0));
    assert_eq!(
        site.paths(),
        [
            "/a/b/",
            "/a/b/?h",
            "/a/b/c",
            "/a/b/d/",
            "/a/b/l%20m",
            "/a/e.png",
            "/f",
            "/g.js",
            "/k",
            "/n&o",
            "/p/q",
        ]
    );
}

#[test]
fn a_redirect_is_a_link_and_a_circle_is_broken() {
    let site = Site::of(|path| match path {
        "/" => links(&["/old", "/lost", "/ring/1", "/self", "/nowhere"]),
        "/old" => redirect("new"),
        "/new" => links(&["/old"]),
        "/lost" => redirect("/gone"),
        "/ring/1" => redirect("2"),
        "/ring/2" => redirect("3"),
        "/ring/3" => redirect("1"),
        "/self" => redirect("#again"),
        "/nowhere" => "HTTP/1.1 302 F\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
        _ => status(404),
    });
    let output = output(&[&site.url("/")]);
    assert_eq!(
        lines(&output, &[&site]),
        [
            "302 /nowhere <- /",
            "404 /gone <- /lost",
            "loop /ring/1 <- /",
            "loop /ring/1 <- /ring/3",
            "loop /ring/2 <- /ring/1",
            "loop /ring/3 <- /ring/2",
            "loop /self <- /",
            "loop /self <- /self",
        ]
    );
}

/// An endless site: `/1` links to `/2`, and so on.
fn endless() -> Site {
    Site::of(|path| {
        let n: u32 = path.trim_matches('/').parse().unwrap();
        links(&[&format!("/{}", n + 1)])
    })
}

#[test]
fn depth_and_number_of_pages_are_bounded() {
    let site = endless();
    let deep = output(&[&site.url("/1"), "--depth", "3"]);
    assert_eq!(deep.status.code(), Some(0));
    assert_eq!(site.paths(), ["/1", "/2", "/3", "/4"]);
    let summary = text(&deep.stderr);
    assert!(summary.contains("pages checked: 4"), "{summary}");
    assert!(
        summary.contains("not checked (--depth, --pages): 1"),
        "{summary}"
    );

    let site = endless();
    let twice = output(&[&site.url("/1"), &site.url("/1"), "--depth", "0"]);
    let summary = text(&twice.stderr);
    assert!(summary.contains("pages checked: 1"), "{summary}");

    let site = endless();
    output(&[&site.url("/1"), "--pages", "2"]);
    assert_eq!(site.paths(), ["/1", "/2"]);

    // A redirect counts, so that one without an end has an end.
    let site = Site::of(|path| redirect(&format!("{path}x")));
    output(&[&site.url("/"), "--depth", "2"]);
    assert_eq!(site.paths(), ["/", "/x", "/xx"]);
}

#[test]
fn robots_txt_is_followed() {
    let site = Site::serve(|request, stream| {
        let reply = match request.path.as_str() {
            "/robots.txt" => page("User-agent: *\nDisallow: /private\nAllow: /private/open\n"),
            "/" => links(&["/private", "/private/open", "/public"]),
            _ => page(""),
        };
        stream.write_all(reply.as_bytes())
    });
    let output = output(&[&site.url("/")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(site.paths(), ["/", "/private/open", "/public"]);
    assert!(text(&output.stderr).contains("not checked (robots.txt): 1"));
}

#[test]
fn links_to_other_hosts_are_checked_and_not_followed() {
    let other = Site::of(|path| match path {
        "/there" => links(&["/further"]),
        _ => status(410),
    });
    let (there, gone) = (other.url("/there"), other.url("/gone"));
    let site = Site::of(move |_| links(&[&there, &gone]));
    assert_eq!(output(&[&site.url("/")]).status.code(), Some(0));
    assert!(other.requests().is_empty());

    let output = output(&[&site.url("/"), "--external"]);
    assert_eq!(lines(&output, &[&site, &other]), ["410 other/gone <- /"]);
    assert_eq!(other.paths(), ["/gone", "/there"]);
    // They need not learn on which page the link is.
    assert!(
        other
            .requests()
            .iter()
            .all(|request| request.referer.is_none())
    );
}

#[test]
fn a_connection_that_closes_in_the_middle_is_tried_again() {
    let attempts = AtomicUsize::new(0);
    let site = Site::serve(move |request, stream| {
        let reply = match request.path.as_str() {
            "/" => links(&["/flaky", "/cut", "/never"]),
            "/flaky" if attempts.fetch_add(1, Ordering::SeqCst) < 2 => String::new(),
            "/cut" => page("0123456789").replace("0123456789", "0123"),
            "/never" => String::new(),
            _ => page(""),
        };
        stream.write_all(reply.as_bytes())
    });
    let output = output(&[&site.url("/")]);
    assert_eq!(
        lines(&output, &[&site]),
        ["closed /cut <- /", "closed /never <- /"]
    );
    let asked = |path| site.paths().iter().filter(|asked| *asked == path).count();
    assert_eq!(["/flaky", "/cut", "/never"].map(asked), [3; 3]);
    // The context comes along to each attempt.
    let flaky = site
        .requests()
        .into_iter()
        .filter(|request| request.path == "/flaky");
    assert!(
        flaky
            .clone()
            .all(|request| request.referer == Some(site.url("/")))
    );
}

#[test]
fn a_request_names_the_page_that_has_the_link() {
    let site = Site::of(|path| match path {
        "/" => links(&["/1"]),
        "/1" => redirect("/2"),
        "/2" => links(&["/3"]),
        _ => status(404),
    });
    let mut command = crawler();
    command.arg(site.url("/")).env("RUST_LOG", "crawler=debug");
    let output = support::output(&mut command);
    let referers = ["/", "/1", "/2", "/3"].map(|path| {
        let request = site
            .requests()
            .into_iter()
            .find(|request| request.path == path);
        request.unwrap().referer
    });
    let pages = ["/", "/1", "/2"].map(|path| Some(site.url(path)));
    assert_eq!(referers[0], None);
    assert_eq!(referers[1..], pages);
    let line = format!("GET {}, attempt 1 <- {}", site.url("/3"), site.url("/2"));
    assert!(
        text(&output.stderr).contains(&line),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_page_without_an_end_is_read_in_part() {
    let site = Site::serve(|request, stream| match request.path.as_str() {
        "/" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            stream.write_all(b"<a href=/first>x</a>")?;
            loop {
                stream.write_all(&[b' '; 4096])?; // until the other side has enough
                stream.write_all(b"<a href=/last>x</a>")?;
            }
        }
        _ => stream.write_all(status(404).as_bytes()),
    });
    let output = output(&[&site.url("/"), "--max-body", "2000"]);
    assert_eq!(lines(&output, &[&site]), ["404 /first <- /"]);
    assert!(text(&output.stderr).contains("read in part (--max-body): 1"));
}

#[test]
fn a_slow_page_is_cut_by_the_time_limit() {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::of(move |path| match path {
        "/" => links(&["/slow"]),
        _ => {
            held.wait();
            page("")
        }
    });
    // The start page has as much time, so that it must not be too short.
    let output = output(&[&site.url("/"), "--timeout", "5"]);
    gate.open();
    assert_eq!(lines(&output, &[&site]), ["timeout /slow <- /"]);
    assert_eq!(site.paths(), ["/", "/slow"]); // once
}

#[test]
fn a_host_is_asked_no_faster_than_the_rate() {
    let site = Site::of(|path| match path {
        "/" => links(&["/1", "/2", "/3"]),
        _ => page(""),
    });
    let begun = Instant::now();
    assert!(output(&[&site.url("/"), "--rate", "10"]).status.success());
    // Five requests with that of robots.txt, so four spacings. A slow machine only takes longer.
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(site.requests().len(), 5);
}
