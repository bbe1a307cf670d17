// The official TypeScript SDK; `order.sdk` is "v1" or "v2". Steps and lines: steps.mjs.
import { oauthProvider, withLogin } from "./oauth_provider.mjs";
import { order, packagesOf, redirects, takeSteps, text, versionOf } from "./steps.mjs";

const isFirst = order.sdk === "v1";
const packageName = isFirst ? "@modelcontextprotocol/sdk" : "@modelcontextprotocol/client";
const require = packagesOf("SDK_FOLDER");
const { Client } = require(isFirst ? `${packageName}/client/index.js` : packageName);
const { StreamableHTTPClientTransport } = require(isFirst ? `${packageName}/client/streamableHttp.js` : packageName);

const name = `TypeScript SDK ${isFirst ? 1 : 2}`;
const login = oauthProvider(name);
const browser = redirects();
let client;
let transport;

function open() {
  const identity = { name: "tokenward-tests", version: "1" };
  transport = new StreamableHTTPClientTransport(new URL(order.url), { authProvider: login.provider });
  client = isFirst ? new Client(identity) : new Client(identity, { versionNegotiation: { mode: "auto" } });
  client.onerror = () => {};
}

async function connect() {
  open();
  await client.connect(transport);
}

// The first SDK's transport, once it has got a 401 for a token that it had just refreshed, gives that answer to each further
// call: its host has to connect again.
async function callTool(step) {
  try {
    return await client.callTool({ name: step.name, arguments: step.arguments });
  } catch (error) {
    if (isFirst && !login.wanted) await doing(connect);
    throw error;
  }
}

const finish = (query) => transport.finishAuth(isFirst ? query.get("code") : query);
const doing = (work) => withLogin(login, browser, finish, work);

await takeSteps(
  { name, version: versionOf("SDK_FOLDER", packageName) },
  {
    connect: () => doing(connect),
    tools: () => doing(async () => (await client.listTools()).tools.length),
    call: (step) => doing(async () => text(await callTool(step))),
  },
);
