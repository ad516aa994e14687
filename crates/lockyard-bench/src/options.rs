//! What the command line says, and how large everything is.
//!
//! Read by hand: clap is reserved to the server, and this program has one caller.

use std::{
    net::ToSocketAddrs as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    failure::{During as _, Failure, Outcome},
    http::Endpoint,
    tls,
};

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The scenarios that were named; none means all.
    pub(crate) scenarios: Vec<String>,
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
    /// A registry that runs already, to be measured alone.
    pub(crate) url: Option<Url>,
    /// The authorities to trust for an HTTPS URL.
    pub(crate) authorities: Option<PathBuf>,
    /// A file with `user:secret` for the URL.
    pub(crate) login: Option<PathBuf>,
    /// Whether a repository with a million tags is measured too.
    pub(crate) million: bool,
    /// Whether data and logs are kept.
    pub(crate) keep: bool,
    /// The folder that everything lies in.
    pub(crate) work: PathBuf,
    /// The programs.
    pub(crate) lockyard: Option<PathBuf>,
    pub(crate) docker_registry: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    /// How large everything is.
    pub(crate) sizes: Sizes,
}

/// How large everything is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Whether these are for checking the bench instead of measuring.
    pub(crate) small: bool,
    /// The blob of one stream.
    pub(crate) large_bytes: u64,
    /// Each blob of eight streams.
    pub(crate) medium_bytes: u64,
    /// A layer of the image that skopeo copies.
    pub(crate) layer_bytes: u64,
    /// How long one measurement of many small requests lasts.
    pub(crate) storm: Duration,
    /// The tags of a small and of a large repository.
    pub(crate) tags: [usize; 2],
    /// Pulls at once that hardly read.
    pub(crate) slow_pulls: usize,
    /// How long these go on.
    pub(crate) slow: Duration,
}

const FULL: Sizes = Sizes {
    small: false,
    large_bytes: 1 << 30,
    medium_bytes: 256 << 20,
    // 243 MiB in eight layers.
    layer_bytes: (243 << 20) / 8,
    storm: Duration::from_secs(2),
    tags: [100, 100_000],
    slow_pulls: 1000,
    slow: Duration::from_secs(10),
};

const SMALL: Sizes = Sizes {
    small: true,
    large_bytes: 3 << 20,
    medium_bytes: 1 << 20,
    layer_bytes: 256 << 10,
    storm: Duration::from_millis(200),
    tags: [10, 250],
    slow_pulls: 40,
    slow: Duration::from_millis(500),
};

const ROUNDS: usize = 5;

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            scenarios: Vec::new(),
            rounds: 0,
            json: None,
            url: None,
            authorities: None,
            login: None,
            million: false,
            keep: false,
            work: PathBuf::from("target/bench"),
            lockyard: None,
            docker_registry: None,
            nginx: None,
            sizes: FULL,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let missing = || Failure::new(format!("`{word}` needs a value"));
                words.next().cloned().ok_or_else(missing)
            };
            match word.as_str() {
                "--rounds" => options.rounds = value()?.parse().during("reading `--rounds`")?,
                "--json" => options.json = Some(value()?.into()),
                "--url" => options.url = Some(Url::parse(&value()?)?),
                "--ca" => options.authorities = Some(value()?.into()),
                "--login-file" => options.login = Some(value()?.into()),
                "--work" => options.work = value()?.into(),
                "--lockyard" => options.lockyard = Some(value()?.into()),
                "--docker-registry" => options.docker_registry = Some(value()?.into()),
                "--nginx" => options.nginx = Some(value()?.into()),
                "--small" => options.sizes = SMALL,
                "--million" => options.million = true,
                "--keep" => options.keep = true,
                flag if flag.starts_with('-') => {
                    return Err(Failure::new(format!("there is no flag `{flag}`")));
                }
                scenario => options.scenarios.push(scenario.to_owned()),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.sizes.small { 1 } else { ROUNDS };
        }
        Ok(options)
    }
}

/// Where a registry is: `http://` or `https://`, a host, maybe a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    secure: bool,
    authority: String,
}

impl Url {
    fn parse(text: &str) -> Outcome<Self> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(Failure::new(format!("`{text}` is no HTTP URL"))),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?']) {
            let hint = "give scheme, host and port only, and a login with --login-file";
            return Err(Failure::new(hint));
        }
        Ok(Self { secure, authority: authority.to_owned() })
    }

    /// Returns the server that it names.
    pub(crate) fn endpoint(&self, options: &Options) -> Outcome<Endpoint> {
        let host = &self.authority;
        let with_port = match (host.rsplit_once(':'), self.secure) {
            (Some((_, port)), _) if port.parse::<u16>().is_ok() => host.clone(),
            (_, true) => format!("{host}:443"),
            (_, false) => format!("{host}:80"),
        };
        let what = || format!("looking up `{host}`");
        let address = with_port.to_socket_addrs().during(what())?.next();
        let address = address.ok_or_else(|| Failure::new(format!("`{host}` has no address")))?;
        let tls = match (self.secure, &options.authorities) {
            (false, _) => None,
            (true, Some(authorities)) => Some(tls::trusting(authorities)?),
            (true, None) => {
                let system = Path::new("/etc/ssl/certs/ca-certificates.crt");
                Some(tls::trusting(system)?)
            }
        };
        let authorization = options.login.as_deref().map(basic).transpose()?;
        Ok(Endpoint { address, host: host.clone(), tls, authorization })
    }
}

fn basic(login: &Path) -> Outcome<String> {
    let text = std::fs::read_to_string(login).during(format!("reading `{}`", login.display()))?;
    Ok(format!("Basic {}", STANDARD.encode(text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Outcome<Options> {
        Options::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn words_without_dashes_are_scenarios() {
        let options = parse(&["pull-1", "--rounds", "3", "push-1"]).unwrap();
        assert_eq!(options.scenarios, ["pull-1", "push-1"]);
        assert_eq!(options.rounds, 3);
        assert_eq!(parse(&[]).unwrap().rounds, ROUNDS);
        assert_eq!(parse(&["--small"]).unwrap().rounds, 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [["--fast", ""], ["--rounds", "many"], ["--url", "ftp://x"]] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
        assert!(parse(&["--json"]).is_err());
        // A secret on the command line is one that every user of the machine can read.
        assert!(parse(&["--url", "http://user:secret@host/"]).is_err());
    }
}
