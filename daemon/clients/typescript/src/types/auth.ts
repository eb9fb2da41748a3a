/** Log-in: handshakes, challenges and tokens. */

/** What a person's wallet tells when it opens a log-in URL. */
export interface KeyHandshake {
  /** Their public key, in hex. */
  mainKey: string;
  /** The relays on which they can be reached. */
  preferredRelays: string[];
}

/** How the person answered. */
export interface AuthResponseStatus {
  status: 'approved' | 'declined';
  /** Why they declined, if they said so. */
  reason?: string;
  /** What they granted, when approved. */
  granted_permissions?: string[];
  /** A token that their wallet issued for this session, when approved. */
  session_token?: string;
}

/** The answer to a log-in challenge. */
export interface AuthResponseData {
  user_key: string;
  recipient: string;
  challenge: string;
  status: AuthResponseStatus;
}

/** What a verified token says. */
export interface JwtClaims {
  target_key: string;
}

/** Who stands behind a NIP-05 address. */
export interface Nip05Profile {
  public_key: string;
  relays?: string[];
}
