//! Public sources by name, as people write them in settings of apps and on command lines.

use std::sync::Arc;

use super::{Fetcher, HttpSource, PublicSource};
use crate::rates::DynRateSource;

/// All public sources.
const ALL: &str = "all";
/// No source.
const NONE: &str = "none";
/// More than this is no list of ours.
const MOST: usize = 16;

/// A text that names no public source, or an address that is not one of a web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "sources of exchange rates are `all`, `none`, or some of kraken, coinbase, coingecko, bitpay, \
     yadio, bitso, nobitex, exir, each optionally with an address (kraken=https://…)"
)]
pub struct NoSuchSource;

/// The sources that these texts name: `all`, `none`, or names, each of which may have another
/// address behind it (`kraken=https://…`). Nothing is connected yet.
///
/// # Errors
/// [`NoSuchSource`] when one of them is none, or there are more than sixteen.
///
/// # Examples
/// ```
/// use portal_core::rates::http::named;
///
/// assert_eq!(named(["kraken", "yadio=http://127.0.0.1:1"])?.len(), 2);
/// assert!(named(["none"])?.is_empty());
/// assert!(named(["my bank"]).is_err());
/// # Ok::<(), portal_core::rates::http::NoSuchSource>(())
/// ```
pub fn named<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<DynRateSource>, NoSuchSource> {
    let texts: Vec<&str> = texts.into_iter().map(str::trim).take(MOST + 1).collect();
    if texts.len() > MOST {
        return Err(NoSuchSource);
    }
    let fetcher = Arc::new(Fetcher::default());
    let home = |source| Arc::new(HttpSource::new(source, fetcher.clone())) as DynRateSource;
    let one = |text: &&str| {
        let (name, url) = match text.split_once('=') {
            Some((name, url)) => (name, Some(url)),
            None => (*text, None),
        };
        let source = PublicSource::from_name(name).ok_or(NoSuchSource)?;
        match url {
            None => Ok(home(source)),
            Some(url) => HttpSource::at(source, url, fetcher.clone())
                .map(|source| Arc::new(source) as DynRateSource)
                .map_err(|_| NoSuchSource),
        }
    };
    match texts.as_slice() {
        [] | [NONE] => Ok(Vec::new()),
        [ALL] => Ok(PublicSource::ALL.into_iter().map(home).collect()),
        texts => texts.iter().map(one).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_all_none_or_those_that_are_named() {
        let count = |texts: &[&str]| named(texts.iter().copied()).map(|sources| sources.len());
        assert_eq!(count(&["all"]), Ok(PublicSource::ALL.len()));
        assert_eq!(count(&[" kraken ", "yadio"]), Ok(2));
        assert_eq!(count(&["kraken=http://127.0.0.1:1"]), Ok(1));
        assert_eq!((count(&[]), count(&["none"])), (Ok(0), Ok(0)));
        let many = ["kraken"; MOST + 1];
        let wrong: [&[&str]; 7] = [
            &["bank"],
            &[""],
            &["kraken=nowhere"],
            &["kraken=ftp://a.example"],
            &["kraken=https://me:secret@a.example"],
            &["none", "all"],
            &many,
        ];
        for wrong in wrong {
            assert_eq!(count(wrong), Err(NoSuchSource), "{wrong:?}");
        }
    }
}
