//! Whether a request to do something comes from the page itself, or from another site in the same browser.

/// The headers of a request that say which page it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// `Host`: the place that the browser asks.
    pub host: Option<&'a str>,
    /// `Origin`: the site of the page that asks.
    pub origin: Option<&'a str>,
    /// `Referer`: the address of the page that asks.
    pub referer: Option<&'a str>,
    /// `Sec-Fetch-Site`: the browser's own judgement.
    pub fetch_site: Option<&'a str>,
    /// `User-Agent`.
    pub agent: Option<&'a str>,
}

impl Sender<'_> {
    /// Whether the request may do something. Each header that there is must name this place. A program other than a browser
    /// sends none. A browser may send none either if the other page wants it so, but only for a request that is no POST; then it
    /// is refused.
    pub fn may_act(&self, is_post: bool) -> bool {
        let from_here = |address: &str| self.host.is_some_and(|host| is_of(address, host));
        let says_where = self.origin.is_some() || self.referer.is_some() || self.fetch_site.is_some();
        let is_browser = self.agent.is_some_and(|agent| agent.trim_start().starts_with("Mozilla/"));
        // `none`: the address was typed, or is a bookmark.
        let is_judged_well = self.fetch_site.is_none_or(|site| matches!(site, "same-origin" | "none"));
        is_judged_well
            && self.origin.is_none_or(from_here)
            && self.referer.is_none_or(from_here)
            && (says_where || is_post || !is_browser)
    }
}

/// Whether this is an address on this host. `null` is none.
fn is_of(address: &str, host: &str) -> bool {
    let address = address.trim().to_ascii_lowercase();
    let (plain, rest) = match (address.strip_prefix("http://"), address.strip_prefix("https://")) {
        (Some(rest), _) => (":80", rest),
        (_, Some(rest)) => (":443", rest),
        _ => return false,
    };
    let place = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = host.trim().to_ascii_lowercase();
    let without = |text: &str| text.strip_suffix(plain).unwrap_or(text).to_owned();
    !place.is_empty() && without(place) == without(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Sender<'_> =
        Sender { host: Some("box:9001"), origin: None, referer: None, fetch_site: None, agent: None };

    #[test]
    fn only_the_page_itself_and_programs_may_act() {
        let origin = |origin| Sender { origin: Some(origin), ..HERE };
        let referer = |referer| Sender { referer: Some(referer), ..HERE };
        let site = |site| Sender { fetch_site: Some(site), ..HERE };
        let both = [true, false];
        for good in [
            HERE,
            origin("http://box:9001"),
            origin("HTTP://BOX:9001"),
            referer("http://box:9001/index.html?x"),
            site("same-origin"),
            site("none"),
            Sender { agent: Some("curl/8"), ..HERE },
            Sender { agent: Some("Mozilla/5.0"), ..origin("http://box:9001") },
            Sender { host: Some("box"), ..origin("http://box:80") },
            Sender { host: Some("box:443"), ..origin("https://box") },
        ] {
            assert!(both.iter().all(|&is_post| good.may_act(is_post)), "{good:?}");
        }
        for bad in [
            origin("null"),
            origin(""),
            origin("http://evil"),
            origin("http://box:9002"),
            origin("http://box"),
            origin("http://box:9001.evil"),
            origin("http://box:9001@evil"),
            origin("file://box:9001"),
            referer("http://evil/?http://box:9001"),
            referer("http://evil\\@box:9001/"),
            site("cross-site"),
            site("same-site"),
            site(""),
            Sender { fetch_site: Some("cross-site"), ..origin("http://box:9001") },
            Sender { origin: Some("http://evil"), ..referer("http://box:9001/") },
            Sender { host: None, ..origin("http://box:9001") },
        ] {
            assert!(!both.iter().any(|&is_post| bad.may_act(is_post)), "{bad:?}");
        }
        // An image of another page that hides where it is from.
        let hidden = Sender { agent: Some("Mozilla/5.0 (X11)"), ..HERE };
        assert!(!hidden.may_act(false) && hidden.may_act(true));
    }
}
