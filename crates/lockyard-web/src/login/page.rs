//! The pages that people see: plain HTML that works without scripts, and headers that keep it what
//! it is.
//!
//! Everything that is put into a page is escaped here, once, whatever it is. A page loads nothing,
//! lies in nobody's frame, and its forms go only where they must; what is allowed inline carries a
//! number that is drawn for each answer.

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lockyard_access::issuer::{Authorize, DeviceAsk, Redirection, ResponseMode};
use lockyard_base::Entropy;

use super::cookie::{FIELD, FormToken};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;\
padding:0 1rem;color:#1b1b1f;background:#fbfbfd}h1{font-size:1.4rem}label{display:block;margin:\
1rem 0 .25rem}input{width:100%;box-sizing:border-box;font:inherit;padding:.5rem;border:1px solid \
#767680;border-radius:.25rem}button{font:inherit;padding:.5rem 1.2rem;margin:1.25rem .5rem 0 0;\
border:1px solid #2d4a9e;border-radius:.25rem;background:#2d4a9e;color:#fff}button.second{\
background:none;color:#2d4a9e}.wrong{border-left:4px solid #b3261e;padding-left:.75rem}.small{\
font-size:.85rem;color:#55555e}@media(prefers-color-scheme:dark){body{color:#e6e6ea;background:\
#17171b}input{background:#222228;color:inherit}.small{color:#a9a9b2}button.second{color:#a9bcff}}";

/// A page under construction.
struct Page {
    title: &'static str,
    body: String,
    nonce: String,
    /// Where its forms may go besides this host.
    form_target: Option<String>,
    script: Option<&'static str>,
}

impl Page {
    fn new(title: &'static str, entropy: &dyn Entropy) -> Self {
        let nonce = URL_SAFE_NO_PAD.encode(entropy.bytes::<16>());
        Self { title, body: String::new(), nonce, form_target: None, script: None }
    }

    /// Adds markup of ours, in which `{}` stands for texts of anybody's, in order.
    fn add(&mut self, markup: &str, texts: &[&str]) {
        let mut texts = texts.iter();
        for (place, piece) in markup.split("{}").enumerate() {
            if place > 0 {
                escape(texts.next().copied().unwrap_or_default(), &mut self.body);
            }
            self.body.push_str(piece);
        }
    }

    fn wrong(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.add("<p class=wrong role=alert>{}</p>", &[text]);
        }
    }

    fn render(self, status: StatusCode) -> Response {
        let Self { title, body, nonce, form_target, script } = self;
        let target = form_target.map(|target| format!(" {target}")).unwrap_or_default();
        let scripts = match script {
            Some(_) => format!("; script-src 'nonce-{nonce}'"),
            None => String::new(),
        };
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'{scripts}; form-action 'self'{target}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let script = script
            .map(|script| format!("<script nonce=\"{nonce}\">{script}</script>"))
            .unwrap_or_default();
        let html = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
             content=\"width=device-width\"><title>{title}</title><style nonce=\"{nonce}\">{STYLE}\
             </style><main><h1>{title}</h1>{body}</main>{script}</html>\n"
        );
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::X_FRAME_OPTIONS, "DENY"),
            // `no-referrer` would make browsers hide where our own forms come from.
            (header::REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("permissions-policy"), "interest-cohort=()"),
        ] {
            let _none = headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            let _none = headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// Writes a text so that it stays a text in markup, in attributes too.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// Gives the browser its form token, if it has none.
fn with_cookie(mut response: Response, token: &FormToken) -> Response {
    if let Some(cookie) = token.set_cookie() {
        let _none = response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The names of the fields that a person fills in, and of the buttons.
pub(super) const USER: &str = "username";
pub(super) const PASSWORD: &str = "password";
pub(super) const CODE: &str = "user_code";
pub(super) const ACTION: &str = "action";
pub(super) const SIGN_IN: &str = "sign-in";
pub(super) const CANCEL: &str = "cancel";

const CREDENTIALS: &str = "<label for=u>User name</label><input id=u name=username type=email \
autocomplete=username required value=\"{}\"><label for=p>Password</label><input id=p \
name=password type=password autocomplete=current-password required>";
const BUTTONS: &str = "<button name=action value=sign-in>Sign in</button><button class=second \
name=action value=cancel formnovalidate>Cancel</button></form>";

/// Asks a person to sign in to a program. `action` is the page's own address.
pub(super) fn sign_in(
    entropy: &dyn Entropy,
    request: &Authorize,
    (action, user): (&str, &str),
    token: &FormToken,
    wrong: Option<&str>,
) -> Response {
    let mut page = Page::new("Sign in to Lockyard", entropy);
    page.add("<p>to go on to <strong>{}</strong></p>", &[&request.client_name]);
    page.wrong(wrong);
    page.add("<form method=post action=\"{}\">", &[action]);
    page.add("<input type=hidden name={} value=\"{}\">", &[FIELD, &token.text]);
    page.add(CREDENTIALS, &[user]);
    page.add(BUTTONS, &[]);
    // Browsers hold the redirect that follows a form against this as well.
    page.form_target = origin(&request.redirect_uri);
    with_cookie(page.render(status(wrong)), token)
}

/// Asks a person for the code that their device shows.
pub(super) fn device_code(
    entropy: &dyn Entropy,
    token: &FormToken,
    wrong: Option<&str>,
) -> Response {
    let mut page = Page::new("Let a device in", entropy);
    page.wrong(wrong);
    page.add("<form method=post action=/device>", &[]);
    page.add("<input type=hidden name={} value=\"{}\">", &[FIELD, &token.text]);
    page.add(
        "<label for=c>The code that your device shows</label><input id=c name={} required \
         autocomplete=off autocapitalize=characters spellcheck=false autofocus>",
        &[CODE],
    );
    page.add("<button>Next</button></form>", &[]);
    with_cookie(page.render(status(wrong)), token)
}

/// Tells a person which program a device's code is from, and asks them to sign in.
pub(super) fn device_sign_in(
    entropy: &dyn Entropy,
    ask: &DeviceAsk,
    user: &str,
    token: &FormToken,
    wrong: Option<&str>,
) -> Response {
    let mut page = Page::new("Let a device in", entropy);
    page.add(
        "<p><strong>{}</strong> on another device wants to act for you. Go on only if you started \
         this yourself and your device shows <strong>{}</strong>.</p>",
        &[&ask.client_name, &ask.user_code],
    );
    page.wrong(wrong);
    page.add("<form method=post action=/device>", &[]);
    page.add("<input type=hidden name={} value=\"{}\">", &[FIELD, &token.text]);
    page.add("<input type=hidden name={} value=\"{}\">", &[CODE, &ask.user_code]);
    page.add(CREDENTIALS, &[user]);
    page.add(BUTTONS, &[]);
    with_cookie(page.render(status(wrong)), token)
}

/// Tells a person something final.
pub(super) fn notice(entropy: &dyn Entropy, title: &'static str, text: &str) -> Response {
    let mut page = Page::new(title, entropy);
    page.add("<p>{}</p><p class=small>You can close this page.</p>", &[text]);
    page.render(StatusCode::OK)
}

/// Tells a person why they cannot go on.
pub(super) fn refusal(
    entropy: &dyn Entropy,
    status: StatusCode,
    number: u32,
    text: &str,
) -> Response {
    let mut page = Page::new("This did not work", entropy);
    page.wrong(Some(text));
    page.add("<p class=small>AADSTS{}</p>", &[&number.to_string()]);
    page.render(status)
}

/// Carries an answer back to a program.
pub(super) fn lead_back(entropy: &dyn Entropy, back: &Redirection) -> Response {
    let Redirection { uri, mode, parameters } = back;
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        let _more = encoded.append_pair(name, value);
    }
    let encoded = encoded.finish();
    let location = match mode {
        ResponseMode::Query if uri.contains('?') => format!("{uri}&{encoded}"),
        ResponseMode::Query => format!("{uri}?{encoded}"),
        ResponseMode::Fragment => format!("{uri}#{encoded}"),
        ResponseMode::FormPost => return post_back(entropy, uri, parameters),
    };
    see_other(&location)
}

/// Leads a browser on with a GET.
pub(super) fn see_other(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        let _none = headers.insert(header::LOCATION, location);
    }
    let _none = headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A form that goes on by itself, or at the press of a button where scripts are off.
fn post_back(entropy: &dyn Entropy, uri: &str, parameters: &[(&'static str, String)]) -> Response {
    let mut page = Page::new("One moment", entropy);
    page.add("<form method=post action=\"{}\">", &[uri]);
    for (name, value) in parameters {
        page.add("<input type=hidden name={} value=\"{}\">", &[name, value]);
    }
    page.add("<button>Go on</button></form>", &[]);
    page.form_target = origin(uri);
    page.script = Some("document.forms[0].submit()");
    page.render(StatusCode::OK)
}

/// The origin of a URI that was held against the registered ones, as a policy may name it.
fn origin(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    plain.then(|| format!("{scheme}://{host}"))
}

/// A page that asks again says so to programs as well.
fn status(wrong: Option<&str>) -> StatusCode {
    if wrong.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        let mut page = Page::new("x", &SeededEntropy::new(1));
        page.add("<p title=\"{}\">{}</p>", &["\"onload='x", "<script>&{}"]);
        assert_eq!(page.body, "<p title=\"&quot;onload=&#39;x\">&lt;script&gt;&amp;{}</p>");
    }

    #[test]
    fn an_answer_goes_into_the_query_or_the_fragment() {
        let lead = |uri: &str, mode| {
            let parameters = vec![("code", "a b&c".to_owned()), ("state", "é".to_owned())];
            let back = Redirection { uri: uri.to_owned(), mode, parameters };
            let response = lead_back(&SeededEntropy::new(1), &back);
            response.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        let encoded = "code=a+b%26c&state=%C3%A9";
        assert_eq!(
            lead("http://localhost", ResponseMode::Query),
            format!("http://localhost?{encoded}")
        );
        assert_eq!(
            lead("https://a/?b=c", ResponseMode::Query),
            format!("https://a/?b=c&{encoded}")
        );
        assert_eq!(lead("https://a/", ResponseMode::Fragment), format!("https://a/#{encoded}"));
    }

    #[test]
    fn a_policy_names_no_more_than_an_origin() {
        assert_eq!(origin("http://localhost:1/x?y").as_deref(), Some("http://localhost:1"));
        assert_eq!(origin("http://[::1]:1/x").as_deref(), Some("http://[::1]:1"));
        assert_eq!(origin("urn:ietf:wg:oauth:2.0:oob"), None);
        assert_eq!(origin("https://a; script-src *"), None);
    }
}
