/** Cashu tokens, used as tickets. */

/** How the person answered a request for a token. */
export type CashuResponseStatus =
  | { status: 'success'; token: string }
  | { status: 'insufficient_funds' }
  | { status: 'rejected'; reason?: string };
