/** All types that the package exports. */
export * from './auth.js';
export * from './codes.js';
export * from './config.js';
export * from './instructions.js';
export * from './payments.js';
export * from './profile.js';
export * from './subscriptions.js';
export * from './tickets.js';
export * from './wire.js';
