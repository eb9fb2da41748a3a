/** The entry for Node: the same, with the WebSocket of the `ws` package. */
import { WebSocket } from 'ws';
import { setPlatformSocket, type SocketConstructor } from './index.js';

setPlatformSocket(WebSocket as unknown as SocketConstructor);

export * from './index.js';
