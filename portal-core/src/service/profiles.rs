//! Public profiles (NIP-01 kind 0) and names (NIP-05).

use nostr::PublicKey;

use crate::driver::{Node, ProfileAnswer, nip05};
use crate::error::Error;
use crate::identity::{Nip05Entry, Nip05Name};
use crate::protocol::kinds;
use crate::protocol::profile::Profile;

/// Public profiles.
#[derive(Clone, Copy)]
pub struct Profiles<'a>(pub(crate) &'a Node);

impl Profiles<'_> {
    /// The newest profile that the connected relays have of someone; its NIP-05 name is checked
    /// with its domain and left out when that fails.
    ///
    /// # Errors
    /// When no relay is connected.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn fetch(&self, public_key: PublicKey) -> Result<Option<Profile>, Error> {
        public_key.xonly().map_err(|_| Error::InvalidPublicKey)?;
        let content = match self.0.profile(public_key).await {
            ProfileAnswer::Found(content) => content,
            ProfileAnswer::Nothing => return Ok(None),
            ProfileAnswer::Unreachable => return Err(Error::NoRelay),
        };
        let Ok(mut profile) = serde_json::from_str::<Profile>(&content) else { return Ok(None) };
        if let Some(name) = &profile.nip05 {
            let valid = self.nip05(name).await.is_ok_and(|entry| entry.public_key == public_key);
            if !valid {
                profile.nip05 = None;
            }
        }
        Ok(Some(profile))
    }

    /// Publishes our own profile; done when a relay has it.
    ///
    /// # Errors
    /// On a subkey, without a connected relay, or when none takes it.
    ///
    /// # Cancel safety
    /// The profile may be published also when the future is dropped.
    pub async fn set(&self, profile: &Profile) -> Result<(), Error> {
        if self.0.key().is_subkey() {
            return Err(Error::MainKeyRequired);
        }
        let content = crate::service::logins::json(profile);
        let delivery = self.0.publish_public(kinds::PROFILE, &content).await;
        match (delivery.accepted, delivery.handed, delivery.refused.into_iter().next()) {
            (Some(_), _, _) => Ok(()),
            (None, 0, _) => Err(Error::NoRelay),
            (None, _, Some((_, reason))) => Err(Error::Refused { reason }),
            (None, _, None) => Err(Error::NotDelivered),
        }
    }

    /// Who has a name `name@domain`, by the domain's word.
    ///
    /// # Errors
    /// When the name is malformed, the domain is not public or does not answer, or does not know
    /// the name.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn nip05(&self, name: &str) -> Result<Nip05Entry, Error> {
        let name: Nip05Name = name.parse()?;
        Ok(nip05(*self.0.policy(), &name).await?)
    }
}
