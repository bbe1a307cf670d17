// The MCP client of Vercel's AI SDK. Steps and lines: steps.mjs.
import { oauthProvider, withLogin } from "./oauth_provider.mjs";
import { order, packagesOf, redirects, takeSteps, text, versionOf } from "./steps.mjs";

const { auth, createMCPClient } = packagesOf("PROGRAMS_FOLDER")("@ai-sdk/mcp");
const name = "AI SDK";
const login = oauthProvider(name);
const browser = redirects();
let client;

const finish = (query) =>
  auth(login.provider, {
    serverUrl: order.url,
    authorizationCode: query.get("code"),
    callbackState: query.get("state"),
    callbackIssuer: query.get("iss"),
  });
const doing = (work) => withLogin(login, browser, finish, work);

await takeSteps(
  { name, version: versionOf("PROGRAMS_FOLDER", "@ai-sdk/mcp") },
  {
    connect: () =>
      doing(async () => {
        const transport = { type: "http", url: order.url, authProvider: login.provider };
        client = await createMCPClient({ transport, onUncaughtError: () => {} });
      }),
    tools: () => doing(async () => (await client.listTools()).tools.length),
    call: (step) =>
      doing(async () => {
        const options = { toolCallId: crypto.randomUUID(), messages: [] };
        return text(await (await client.tools())[step.name].execute(step.arguments, options));
      }),
  },
);
