// oidc-provider on a free port of loopback, for one client and three people; prints its URL.
// usage: node provider.mjs OPTIONS, in JSON: {back, id, secret, method, alg, tokenClaims}
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const options = JSON.parse(process.argv[2]);
const people = {
  anna: { preferred_username: "anna", groups: ["ops", "all"], email: "anna@example.com", email_verified: true },
  ben: { preferred_username: "ben", groups: ["all"], email: "ben@example.com", email_verified: true },
  eve: { preferred_username: "<b>eve</b>", groups: ["all"], email: "ben@example.com", email_verified: false },
};
const kinds = {
  RS256: ["rsa", { modulusLength: 2048 }],
  PS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
};
const signing = generateKeyPairSync(...kinds[options.alg]).privateKey.export({ format: "jwk" });
const rsa = generateKeyPairSync(...kinds.RS256).privateKey.export({ format: "jwk" });

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: options.id,
        ...(options.secret ? { client_secret: options.secret } : {}),
        redirect_uris: [options.back],
        grant_types: ["authorization_code"],
        response_types: ["code"],
        token_endpoint_auth_method: options.method,
        id_token_signed_response_alg: options.alg,
      },
    ],
    jwks: { keys: [{ ...rsa, use: "sig", kid: "first" }, { ...signing, use: "sig", kid: "second", alg: options.alg }] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
    pkce: { required: () => true },
    scopes: ["openid", "profile", "email", "groups"],
    claims: {
      openid: ["sub"],
      profile: ["preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups"],
    },
    conformIdTokenClaims: !options.tokenClaims,
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    cookies: { keys: ["of this run"] },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
  });
  server.on("request", provider.callback());
  console.log(url);
});
