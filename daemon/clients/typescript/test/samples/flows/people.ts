import { PortalSDK, type Profile } from 'portal-sdk';

const portal = new PortalSDK({ serverUrl: 'ws://localhost:3000/ws' });
await portal.connect();
await portal.authenticate('token');
const profile = await portal.fetchProfile('some-key');
if (profile) console.log(profile.name, profile.display_name, profile.picture, profile.about, profile.nip05);
const ours: Profile = { id: 'shop', pubkey: 'our-key', name: 'shop', display_name: 'The shop', picture: '', about: '', nip05: 'shop@example.com' };
await portal.setProfile(ours);
const { public_key } = await portal.fetchNip05Profile('jo@example.com');
const token = await portal.issueJwt(public_key, 24);
const claims = await portal.verifyJwt('our-key', token);
console.log(claims.target_key);
const relay = await portal.addRelay('wss://relay.example.com');
console.log(await portal.removeRelay(relay));
console.log('done');
