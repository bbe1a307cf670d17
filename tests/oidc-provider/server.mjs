// The strict issuer of the tests: oidc-provider, unchanged, with rotation on and reuse detection as it comes: a refresh
// token that is presented a second time revokes its whole grant.
//
//   node server.mjs ENTRY ISSUER PORT ID_TOKEN_SECONDS CLIENT_ID CLIENT_SECRET pages|no-pages REDIRECT_URI…
//
// ENTRY is the file of the oidc-provider package to import; with `pages` a browser logs in and consents on the provider's
// own pages, with any password. Everything in memory, on 127.0.0.1. Beside the provider's own
// routes: POST /test/login?account=NAME answers tokens, GET /test/state answers what was presented and what was revoked.
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [entry, issuer, port, idTokenSeconds, clientId, clientSecret, pages, ...redirectUris] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(entry).href);

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' };
const hours = 3600;
const provider = new Provider(issuer, {
  clients: [{
    client_id: clientId,
    client_secret: clientSecret,
    redirect_uris: redirectUris,
    grant_types: ['authorization_code', 'refresh_token'],
  }],
  // Two ID tokens of one second are two tokens, as those of other issuers are.
  claims: { openid: ['sub', 'mark'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['only-for-tests'] },
  features: { devInteractions: { enabled: pages === 'pages' }, introspection: { enabled: true } },
  findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id, mark: randomUUID() }) }),
  jwks: { keys: [key] },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access'],
  ttl: {
    // Programs with pages go by the access token's life.
    AccessToken: pages === 'pages' ? Number(idTokenSeconds) : hours,
    Grant: 24 * hours,
    IdToken: Number(idTokenSeconds),
    RefreshToken: 24 * hours,
  },
});

const grants = new Set();
const presented = new Map();
let refreshed = 0;
let revoked = 0;
provider.on('grant.revoked', () => { revoked += 1; });
provider.use(async (context, next) => {
  await next();
  const { params } = context.oidc ?? {};
  if (params?.grant_type !== 'refresh_token' || !params.refresh_token) return;
  const mark = createHash('sha256').update(params.refresh_token).digest('hex');
  presented.set(mark, (presented.get(mark) ?? 0) + 1);
  if (context.status === 200) refreshed += 1;
});

// A login without a browser: the grant that a consent would leave, and a refresh token as the code would have brought
// it, exchanged for the first ID token over the wire.
async function login(account) {
  const grant = new provider.Grant({ accountId: account, clientId });
  grant.addOIDCScope('openid offline_access');
  const grantId = await grant.save();
  grants.add(grantId);
  const first = new provider.RefreshToken({
    accountId: account,
    client: await provider.Client.find(clientId),
    grantId,
    gty: 'authorization_code',
    scope: 'openid offline_access',
  });
  const encoded = [clientId, clientSecret].map(encodeURIComponent).join(':');
  const answer = await fetch(`http://127.0.0.1:${port}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(encoded).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: await first.save() }),
  });
  return [answer.status, await answer.json()];
}

async function state() {
  const alive = await Promise.all([...grants].map((id) => provider.Grant.find(id)));
  const counts = [...presented.values()];
  return [200, {
    grants: grants.size,
    grants_alive: alive.filter(Boolean).length,
    presented: counts.reduce((sum, count) => sum + count, 0),
    presented_again: counts.filter((count) => count > 1).length,
    refreshed,
    revoked,
  }];
}

async function test(request) {
  const url = new URL(request.url, 'http://127.0.0.1');
  switch (`${request.method} ${url.pathname}`) {
    case 'POST /test/login': return login(url.searchParams.get('account'));
    case 'GET /test/state': return state();
    default: return [404, {}];
  }
}

const callback = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/test/')) {
    callback(request, response);
    return;
  }
  test(request).catch((error) => [500, { error: String(error) }]).then(([status, body]) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
