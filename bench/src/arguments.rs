//! What the command line says.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// The arguments of `bench` and `chaos`.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The forms that finish in well under a minute each.
    pub short: bool,
    /// Only these; all when empty.
    pub names: Vec<String>,
    /// Where to write the figures as JSON.
    pub json: Option<PathBuf>,
}

impl Arguments {
    /// Reads them.
    pub fn read(arguments: &[String]) -> Result<Self> {
        let mut read = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--short" => read.short = true,
                "--json" => match rest.next() {
                    Some(path) => read.json = Some(path.into()),
                    None => bail!("--json needs a file"),
                },
                flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
                name => read.names.push(name.to_owned()),
            }
        }
        Ok(read)
    }

    /// Refuses names that nobody has.
    pub fn check(&self, known: &[(&str, &str)]) -> Result<()> {
        match self.names.iter().find(|name| !known.iter().any(|(known, _)| known == name)) {
            Some(unknown) => bail!("nothing is called {unknown}; `portal-bench list` says what is"),
            None => Ok(()),
        }
    }

    /// Whether this one is to run.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }

    /// One of two sizes.
    #[must_use]
    pub fn size<T>(&self, whole: T, short: T) -> T {
        if self.short { short } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Arguments> {
        Arguments::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_flags_and_the_file_are_read_in_any_order() {
        let arguments = read(&["idle-cpu", "--short", "--json", "x.json", "kill"]).expect("legal");
        assert!(arguments.short && arguments.wants("kill") && !arguments.wants("loss"));
        assert_eq!(arguments.json, Some("x.json".into()));
        assert!(arguments.check(&[("kill", ""), ("idle-cpu", "")]).is_ok());
        assert!(arguments.check(&[("kill", "")]).is_err());
        assert!(read(&[]).expect("legal").wants("anything"));
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        assert!(read(&["--fast"]).is_err());
        assert!(read(&["--json"]).is_err());
    }
}
