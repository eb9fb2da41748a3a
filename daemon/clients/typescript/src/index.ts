/** Everything that the package exports, without a WebSocket of its own: browsers have one. */
export { PortalSDK, type KeyHandshakeStream } from './client.js';
export { PortalSDKError, type PortalSDKErrorCode, type PortalSDKErrorInfo } from './errors.js';
export { PortalStream } from './readers.js';
export type { SocketConstructor, SocketLike } from './socket.js';
export { setPlatformSocket } from './socket.js';
export { Timestamp } from './timestamp.js';
export * from './types/index.js';
