//! What `robots.txt` allows to every crawler: RFC 9309, the group of `User-agent: *`.
//!
//! `Crawl-delay` is not of the RFC, and is ignored: the crawler has a rate of its own.

/// The rules of a site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    allows: bool,
    pattern: String,
}

impl Rules {
    pub(crate) fn parse(text: &str) -> Self {
        let mut rules = Vec::new();
        // Several names may stand above one group of rules.
        let (mut is_ours, mut is_head) = (false, false);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match key.as_str() {
                "user-agent" => {
                    is_ours = (is_head && is_ours) || value == "*";
                    is_head = true;
                }
                "allow" | "disallow" => {
                    is_head = false;
                    if is_ours && !value.is_empty() {
                        rules.push(Rule {
                            allows: key == "allow",
                            pattern: value.to_owned(),
                        });
                    }
                }
                _ => {}
            }
        }
        Self(rules)
    }

    /// Says whether a path, with its query, may be fetched. The longest rule decides, and of two
    /// of one length the one that allows.
    pub(crate) fn allow(&self, path: &str) -> bool {
        let rules = self.0.iter().filter(|rule| rule.matches(path));
        let rule = rules.max_by_key(|rule| (rule.pattern.len(), rule.allows));
        rule.is_none_or(|rule| rule.allows)
    }
}

impl Rule {
    /// `*` stands for anything, and `$` for the end of the path.
    fn matches(&self, path: &str) -> bool {
        let (pattern, is_whole) = match self.pattern.strip_suffix('$') {
            Some(pattern) => (pattern, true),
            None => (self.pattern.as_str(), false),
        };
        let mut pieces = pattern.split('*');
        let begin = pieces.next().unwrap_or_default();
        let Some(mut rest) = path.strip_prefix(begin) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty() || !is_whole;
        }
        while let Some(piece) = pieces.next() {
            if is_whole && pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed<'a>(text: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let rules = Rules::parse(text);
        let paths = paths.iter().copied();
        paths.filter(|path| rules.allow(path)).collect()
    }

    #[test]
    fn the_longest_rule_decides() {
        let text = "User-Agent: *\nDisallow: /a # not that\nALLOW : /a/b\nDisallow: /a/b/c\n\
            Allow:/a/b/c\n";
        assert_eq!(
            allowed(text, &["/", "/a", "/ax", "/a/b", "/a/b/c"]),
            ["/", "/a/b", "/a/b/c"]
        );
    }

    #[test]
    fn groups_of_others_do_not_count() {
        let text = "User-agent: other\nDisallow: /\n\nUser-agent: one\nUser-agent: *\n\
            Crawl-delay: 9\nDisallow: /x\n\nUser-agent: third\nDisallow: /y\n\nUser-agent: *\nDisallow: /z\n";
        assert_eq!(allowed(text, &["/x", "/y", "/z"]), ["/y"]);
        assert_eq!(allowed("User-agent: *\nDisallow:\n", &["/x"]), ["/x"]);
        assert_eq!(allowed("<html>no rules</html>", &["/x"]), ["/x"]);
    }

    #[test]
    fn patterns_have_wildcards_and_an_end() {
        let text = "User-agent: *\nDisallow: /*.gif$\nDisallow: /a*b*c\nDisallow: /end$\n";
        let paths = [
            "/x.gif",
            "/x.gif?y",
            "/.gif.gif",
            "/a/b/c/d",
            "/a/c/b",
            "/end",
            "/end/",
        ];
        assert_eq!(allowed(text, &paths), ["/x.gif?y", "/a/c/b", "/end/"]);
    }
}
