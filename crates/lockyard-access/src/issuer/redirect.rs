//! Where a sign-in may lead back to: exactly what was registered, with one exception.
//!
//! A program on somebody's machine listens on whatever port is free, so for loopback addresses the
//! port does not count (RFC 8252 section 7.3). Nothing else is ever matched by its beginning, its
//! host or its path alone.

/// The longest redirect URI in bytes.
pub(crate) const REDIRECT_BYTES_MAX: usize = 2048;

/// Whether `asked` is one of the `registered` ones.
pub(crate) fn is_registered<'r>(
    asked: &str,
    registered: impl IntoIterator<Item = &'r str>,
) -> bool {
    let plain = asked.len() <= REDIRECT_BYTES_MAX
        && asked.bytes().all(|b| b.is_ascii_graphic())
        && !asked.contains(['#', '\\']);
    plain && registered.into_iter().any(|registered| is_same(asked, registered))
}

fn is_same(asked: &str, registered: &str) -> bool {
    if asked == registered {
        return true;
    }
    match (loopback(asked), loopback(registered)) {
        (Some(asked), Some(registered)) => asked == registered,
        _ => false,
    }
}

/// The host and the rest of a loopback URI, without its port; an empty path is the root.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let known = ["localhost", "127.0.0.1", "[::1]"].into_iter().find(|known| *known == host)?;
    Some((known, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_loopback_address_is_free() {
        let registered = ["http://localhost", "https://app.test/back?x=1", "http://127.0.0.1:1/a"];
        for good in [
            "http://localhost",
            "http://localhost/",
            "http://localhost:5000",
            "http://localhost:5000/",
            "https://app.test/back?x=1",
            "http://127.0.0.1:9999/a",
        ] {
            assert!(is_registered(good, registered), "{good}");
        }
        for bad in [
            "",
            "http://localhost/other",
            "http://localhost:5000/?x",
            "https://localhost",
            "http://localhost.evil.test",
            "http://localhost:1@evil.test/",
            "http://localhost:x/",
            "http://localhost#",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://evil.test/",
            "https://app.test/back",
            "https://app.test/back?x=1&y",
            "https://app.test/back?x=1/..",
            "https://APP.test/back?x=1",
            "https://app.test:443/back?x=1",
            "https://app.test\\.evil.test",
            "javascript:alert(1)",
            "http://localhost /",
            "http://localhost:80:80/",
            "http://LOCALHOST/",
        ] {
            assert!(!is_registered(bad, registered), "{bad}");
        }
    }

    #[test]
    fn a_redirect_has_an_end() {
        let uri = |n: usize| format!("https://a.test/{}", "a".repeat(n - 15));
        let (fits, over) = (uri(REDIRECT_BYTES_MAX), uri(REDIRECT_BYTES_MAX + 1));
        assert!(is_registered(&fits, [fits.as_str()]));
        assert!(!is_registered(&over, [over.as_str()]));
    }
}
