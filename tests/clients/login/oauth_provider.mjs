// The part of a client that an SDK asks its host for: where tokens are stored, and how the user's browser is opened.
import { loginWanted, memory, print, redirect } from "./steps.mjs";

export function oauthProvider(clientName) {
  const stored = memory();
  const login = {
    wanted: false,
    provider: {
      redirectUrl: redirect,
      clientMetadata: {
        client_name: clientName,
        redirect_uris: [redirect],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
      },
      clientInformation: () => stored.get("client"),
      saveClientInformation: (client) => stored.set("client", client),
      isClientInformationDynamicallyRegistered: () => true,
      authorizationServerInformation: () => stored.get("server"),
      saveAuthorizationServerInformation: (server) => stored.set("server", server),
      saveDiscoveryState: (found) => stored.set("discovery", found),
      discoveryState: () => stored.get("discovery"),
      tokens: () => stored.get("tokens"),
      saveTokens: (tokens) => {
        print({ event: "tokens_saved" });
        stored.set("tokens", tokens);
      },
      saveCodeVerifier: (verifier) => stored.set("verifier", verifier),
      codeVerifier: () => stored.get("verifier"),
      saveState: (state) => stored.set("state", state),
      storedState: () => stored.get("state"),
      state: () => crypto.randomUUID(),
      redirectToAuthorization: (url) => {
        login.wanted = true;
        loginWanted(url);
      },
      invalidateCredentials: (scope) => {
        print({ event: "thrown_away", scope });
        if (scope === "all" || scope === "client") stored.set("client", undefined);
        if (scope === "all" || scope === "tokens") stored.set("tokens", undefined);
      },
    },
  };
  return login;
}

// Does what needs a login; when the client has sent the user to one, waits for it, finishes it and does it again.
export async function withLogin(login, browser, finish, work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!login.wanted) throw error;
      login.wanted = false;
      await finish(await browser.next());
      print({ event: "logged_in" });
    }
  }
}
