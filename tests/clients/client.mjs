// Drives one of the official TypeScript MCP SDKs through a list of steps and prints what happened, one JSON line each.
//
//   node client.mjs '{"sdk":"v1","url":"http://…/mcp","token":"…","session":"…","steps":[{"do":"tools"},…]}'
//
// SDK_FOLDER names the folder whose node_modules holds the SDKs. A failed step is reported, and the next one follows.
import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.SDK_FOLDER, "package.json"));
const order = JSON.parse(process.argv[2]);

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// What the SDK does with the user's login: it provides the token, and is called when the user must log in.
const login = {
  redirectUrl: "http://127.0.0.1/callback",
  clientMetadata: { client_name: "tokenward tests", redirect_uris: ["http://127.0.0.1/callback"] },
  clientInformation: () => ({ client_id: "muster" }),
  tokens: () => ({ access_token: order.token, token_type: "Bearer" }),
  saveTokens: () => print({ event: "tokens_saved" }),
  invalidateCredentials: (scope) => print({ event: "thrown_away", scope }),
  redirectToAuthorization: (url) => print({ event: "login_wanted", at: url.origin + url.pathname }),
  saveCodeVerifier: () => {},
  codeVerifier: () => "unused",
};

function open() {
  const headers = order.session ? { "x-tokenward-session": order.session } : {};
  const transportOptions = { authProvider: login, requestInit: { headers } };
  const identity = { name: "tokenward-tests", version: "1" };
  if (order.sdk === "v1") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const transport = new StreamableHTTPClientTransport(new URL(order.url), transportOptions);
    return [new Client(identity), transport];
  }
  const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
  const transport = new StreamableHTTPClientTransport(new URL(order.url), transportOptions);
  return [new Client(identity, { versionNegotiation: { mode: "auto" } }), transport];
}

const [client, transport] = open();
let events = 0;
// How many had come when the last call began: its own may come before its answer.
let eventsBeforeCall = 0;
client.onerror = (error) => print({ event: "error", message: String(error?.message ?? error) });
client.fallbackNotificationHandler = async () => {
  events += 1;
};

const call = (name, args, options) =>
  order.sdk === "v1"
    ? client.callTool({ name, arguments: args }, undefined, options)
    : client.callTool({ name, arguments: args }, options);

const text = (result) => {
  if (result.isError) throw new Error(`the tool failed: ${JSON.stringify(result.content)}`);
  return { text: result.content.map((part) => part.text ?? part.type).join(" ") };
};

const does = {
  async connect() {
    await client.connect(transport);
    const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    return { version, session: transport.sessionId !== undefined };
  },
  async tools() {
    return { count: (await client.listTools()).tools.length };
  },
  async call(step) {
    eventsBeforeCall = events;
    return text(await call(step.name, step.arguments));
  },
  async long(step) {
    let progress = 0;
    const onprogress = () => {
      progress += 1;
    };
    const result = await call(step.name, step.arguments, { onprogress, timeout: 120_000 });
    return { progress, ...text(result) };
  },
  async listen() {
    await client.listen({ toolsListChanged: true });
    return {};
  },
  async idle(step) {
    print({ event: "idle" });
    await pause(step.seconds);
    return {};
  },
  // Until there is a file of this name.
  async until(step) {
    print({ event: "idle" });
    while (!existsSync(step.file)) await pause(0.1);
    return {};
  },
  // Until so many notifications more have come, since now or since the last call began.
  async events(step) {
    const enough = (step.since_call ? eventsBeforeCall : events) + step.count;
    for (let tries = 0; events < enough; tries += 1) {
      if (tries > 300) throw new Error(`${step.count - (enough - events)} of ${step.count} notifications came`);
      await pause(0.1);
    }
    return { count: step.count };
  },
  // As a user does when trying again.
  async retry(step) {
    for (let failures = 0; ; failures += 1) {
      try {
        return { failures, ...text(await call(step.name, step.arguments)) };
      } catch (error) {
        if (failures > 60) throw error;
        await pause(0.5);
      }
    }
  },
};

for (const step of [{ do: "connect" }, ...order.steps]) {
  try {
    print({ step: step.do, ok: true, ...(await does[step.do](step)) });
  } catch (error) {
    const status = [error?.status, error?.data?.status, error?.code].find(Number.isInteger) ?? null;
    print({ step: step.do, ok: false, error: error?.constructor?.name, status, message: String(error?.message ?? error) });
  }
}
await transport.terminateSession?.().catch(() => {});
await client.close().catch(() => {});
print({ step: "end", ok: true, events });
process.exit(0);
