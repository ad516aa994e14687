//! The query of a request: names with values, in their order, decoded.

/// A decoded query; unknown names are kept and ignored, as proxies add theirs (`ns`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands after the question mark.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of `name`.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name`, in their order.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Writes a query from names and values, encoded.
pub(crate) fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded_and_may_repeat() {
        let query = Query::parse(Some("tag=a&n=5&tag=b%3A&digest=sha256%3A00&empty"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b:"]);
        assert_eq!(query.first("digest"), Some("sha256:00"));
        assert_eq!(query.first("empty"), Some(""));
        assert_eq!(query.first("missing"), None);
        assert_eq!(Query::parse(None).first("n"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any::<String>()) {
            let text = encode(&[("last", &value), ("n", "1")]);
            let query = Query::parse(Some(&text));
            prop_assert_eq!(query.first("last"), Some(value.as_str()));
        }
    }
}
