//! Where a database is: the connection string, in either of PostgreSQL's forms, with two words that
//! the client library does not know: `schema`, which is ours, and all of libpq's `sslmode`s.

use std::fmt;

use cdk_common::database::Error;
use cdk_sql_common::pool::DatabaseConfig;
use native_tls::TlsConnector;
use postgres_native_tls::MakeTlsConnector;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

use super::TIMEOUT;

/// A place, and how many connections to it there may be.
#[derive(Clone)]
pub(in crate::store) struct Target {
    config: Config,
    tls: Tls,
    schema: Option<String>,
    max_connections: usize,
}

/// How much is asked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Disable,
    /// Only if the server can; anybody's certificate.
    Prefer,
    /// Anybody's certificate.
    Require,
    /// One that we trust, of whatever name.
    VerifyCa,
    /// One that we trust, of this name.
    VerifyFull,
}

impl Target {
    /// Reads a connection string. Without `sslmode` there is no TLS.
    pub(super) fn parse(text: &str, max_connections: usize) -> Result<Self, Error> {
        let Words { rest, schema, tls } =
            if text.starts_with("postgres://") || text.starts_with("postgresql://") {
                Words::of_url(text)?
            } else {
                Words::of_pairs(text)?
            };
        let mut config: Config = rest.parse().map_err(|_| malformed())?;
        let tls = tls.unwrap_or(Tls::Disable);
        config.ssl_mode(match tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(TIMEOUT);
        }
        Ok(Self { config, tls, schema, max_connections })
    }

    /// Connects. The other half is the connection's work, which goes on until the client is gone.
    pub(super) async fn connect(
        &self,
    ) -> Result<(Client, impl Future<Output = ()> + Send + use<>), Error> {
        let failed = |cause| Error::Database(Box::new(cause));
        let (client, work) = if self.tls == Tls::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
            (client, futures_util::future::Either::Left(connection))
        } else {
            let mut builder = TlsConnector::builder();
            builder.danger_accept_invalid_certs(matches!(self.tls, Tls::Prefer | Tls::Require));
            builder.danger_accept_invalid_hostnames(self.tls != Tls::VerifyFull);
            let tls = builder.build().map_err(|cause| Error::Database(Box::new(cause)))?;
            let tls = MakeTlsConnector::new(tls);
            let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
            (client, futures_util::future::Either::Right(connection))
        };
        let work = async move {
            if let Err(error) = work.await {
                tracing::warn!(%error, "a connection to PostgreSQL is lost");
            }
        };
        Ok((client, work))
    }

    /// What the first statement on a connection is.
    pub(super) fn preparation(&self) -> Option<String> {
        let schema = self.schema.as_ref()?.replace('"', "\"\"");
        Some(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"; SET search_path TO \"{schema}\""))
    }
}

impl DatabaseConfig for Target {
    fn max_size(&self) -> usize {
        self.max_connections
    }

    fn default_timeout(&self) -> std::time::Duration {
        TIMEOUT
    }
}

/// Without what it is about: there is a password in it.
impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Target").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Tls {
    fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(malformed()),
        })
    }
}

/// A connection string, and what was taken out of it.
#[derive(Default)]
struct Words {
    rest: String,
    schema: Option<String>,
    tls: Option<Tls>,
}

impl Words {
    /// `postgresql://user@host/name?sslmode=require`, then perhaps ` schema=name`.
    fn of_url(text: &str) -> Result<Self, Error> {
        let (url, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let mut words = Self::of_pairs(after)?;
        if !words.rest.is_empty() {
            return Err(malformed());
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        words.rest.push_str(base);
        let mut before = '?';
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => words.tls = Some(Tls::parse(mode)?),
                Some(_) => {
                    words.rest.push(before);
                    words.rest.push_str(parameter);
                    before = '&';
                }
                None => return Err(malformed()),
            }
        }
        Ok(words)
    }

    /// `host=… password='it''s' schema=name`, as libpq reads it: white space around `=`, quotes,
    /// and backslashes before what is meant as it stands.
    fn of_pairs(text: &str) -> Result<Self, Error> {
        let mut words = Self::default();
        let mut left = text.trim_start();
        while !left.is_empty() {
            let (key, after) = left.split_once('=').ok_or_else(malformed)?;
            let after = after.trim_start();
            let (value, length) = value(after)?;
            match key.trim() {
                "schema" => words.schema = Some(value),
                "sslmode" => words.tls = Some(Tls::parse(&value)?),
                key => {
                    words.rest.push_str(key);
                    words.rest.push('=');
                    words.rest.push_str(&after[..length]);
                    words.rest.push(' ');
                }
            }
            left = after[length..].trim_start();
        }
        Ok(words)
    }
}

/// A value at the start of a text, and how many of its bytes it takes.
fn value(text: &str) -> Result<(String, usize), Error> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next().ok_or_else(malformed)?.1),
            '\'' if quoted => return Ok((value, at.saturating_add(1))),
            character if !quoted && character.is_whitespace() => return Ok((value, at)),
            character => value.push(character),
        }
    }
    if quoted || value.is_empty() { Err(malformed()) } else { Ok((value, text.len())) }
}

/// Says nothing of the text: there may be a password in it.
fn malformed() -> Error {
    Error::Internal("the connection string of PostgreSQL is not one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text, 3).expect("a target")
    }

    #[test]
    fn both_forms_say_the_same() {
        for text in [
            "host=db.example user=mint password=s%20p dbname=books sslmode=verify-full schema=one",
            "schema = one  sslmode='verify-full' host=db.example user=mint password='s%20p' \
             dbname=books",
            "postgresql://mint:s%2520p@db.example/books?sslmode=verify-full schema=one",
        ] {
            let target = target(text);
            assert_eq!(target.tls, Tls::VerifyFull, "{text}");
            assert_eq!(target.schema.as_deref(), Some("one"), "{text}");
            assert_eq!(target.config.get_ssl_mode(), SslMode::Require, "{text}");
            assert_eq!(target.config.get_user(), Some("mint"), "{text}");
            assert_eq!(target.config.get_dbname(), Some("books"), "{text}");
            assert_eq!(target.config.get_password(), Some(b"s%20p".as_slice()), "{text}");
        }
        let plain = target("postgres://mint@localhost/books?connect_timeout=3");
        assert_eq!((plain.tls, plain.schema), (Tls::Disable, None));
        assert_eq!(plain.config.get_connect_timeout(), Some(&std::time::Duration::from_secs(3)));
    }

    #[test]
    fn what_stands_in_a_password_is_not_read() {
        let target = target(r"host=x password='a sslmode=disable \' schema=b' sslmode=require");
        assert_eq!((target.tls, target.schema.as_deref()), (Tls::Require, None));
        let password = target.config.get_password().expect("a password");
        assert_eq!(password, b"a sslmode=disable ' schema=b");
        assert!(!format!("{target:?}").contains("disable"));
    }

    #[test]
    fn what_is_no_connection_string_is_refused_without_saying_it_again() {
        for text in [
            "host=x sslmode=maybe",
            "host=x sslmode=",
            "host=x password='hunter2",
            "host=x hunter2",
            "postgres://x/y?sslmode=verify-full-hunter2",
            "postgres://x/y?hunter2",
            "postgres://x/y host=hunter2",
        ] {
            let error = Target::parse(text, 1).expect_err(text);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_schema_of_any_name_stays_a_name() {
        let preparation = target(r#"host=x schema=a";drop"#).preparation().expect("a schema");
        assert!(preparation.ends_with(r#"SET search_path TO "a"";drop""#), "{preparation}");
    }
}
