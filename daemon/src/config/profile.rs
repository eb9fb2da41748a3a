//! `[profile]`: the public profile of the service, published when the daemon starts.

use portal_core::protocol::profile::Profile;

use super::values::Values;

/// The public profile of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileConfig {
    /// What to publish; empty when nothing is to be published.
    pub profile: Profile,
}

impl ProfileConfig {
    pub(super) fn take(values: &mut Values) -> Self {
        Self {
            profile: Profile {
                name: values.text("profile.name"),
                display_name: values.text("profile.display_name"),
                picture: values.text("profile.picture"),
                nip05: values.text("profile.nip05"),
            },
        }
    }

    /// The names that the NIP-05 document of this host knows: `_`, which is the host itself, that
    /// of the public address, and that of the profile when it can stand in an address.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let Profile { name, nip05, .. } = &self.profile;
        let local = nip05.as_deref().map(|address| {
            let local = address.split_once('@').map_or("_", |(local, _)| local);
            local.to_ascii_lowercase()
        });
        let mut names = vec!["_".to_owned()];
        for name in local.into_iter().chain(name.clone()) {
            if is_local_part(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether there is nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profile == Profile::default()
    }
}

fn is_local_part(name: &str) -> bool {
    let possible = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_always_known_and_names_only_when_they_can_stand_in_an_address() {
        let names = |name: Option<&str>, nip05: Option<&str>| {
            let profile = Profile {
                name: name.map(str::to_owned),
                nip05: nip05.map(str::to_owned),
                ..Profile::default()
            };
            ProfileConfig { profile }.names()
        };
        assert_eq!(names(None, None), ["_"]);
        assert_eq!(names(Some("Corner café"), Some("Shop@example.com")), ["_", "shop"]);
        assert_eq!(names(Some("corner"), Some("_@example.com")), ["_", "corner"]);
        assert_eq!(names(Some("a.b-1"), Some("example.com")), ["_", "a.b-1"]);
        assert_eq!(names(Some(""), Some("ö@example.com")), ["_"]);
    }
}
