// mcp-remote, unmodified: a process that speaks MCP on its standard input, as a desktop host starts it. It waits for the
// browser by itself; a call that it fails is tried again. Steps and lines: steps.mjs.
import { join } from "node:path";

import { loginWanted, order, packagesOf, takeSteps, text, versionOf } from "./steps.mjs";

const require = packagesOf("SDK_FOLDER");
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

// Longer than a login takes on a busy machine.
const LOGIN_SECONDS = 120;
const program = join(process.env.PROGRAMS_FOLDER, "node_modules/mcp-remote/dist/proxy.js");
const options = { timeout: LOGIN_SECONDS * 1000 };
const client = new Client({ name: "tokenward-tests", version: "1" });
client.onerror = () => {};

async function connect() {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [program, order.url, String(order.port), "--transport", "http-only", "--auth-timeout", String(LOGIN_SECONDS)],
    env: { PATH: process.env.PATH, HOME: order.folder, MCP_REMOTE_CONFIG_DIR: join(order.folder, "mcp-remote") },
    stderr: "pipe",
  });
  let printed = "";
  const wanted = /Please authorize this client by visiting:\s+(http\S+)\s/;
  transport.stderr.on("data", (part) => {
    printed += part;
    for (let found = wanted.exec(printed); found; found = wanted.exec(printed)) {
      loginWanted(found[1]);
      printed = printed.slice(found.index + found[0].length);
    }
  });
  await client.connect(transport, options);
  // The process ends with this one.
  process.on("exit", () => transport.close());
}

await takeSteps(
  { name: "mcp-remote", version: versionOf("PROGRAMS_FOLDER", "mcp-remote") },
  {
    connect,
    tools: async () => (await client.listTools(undefined, options)).tools.length,
    call: async (step) => text(await client.callTool({ name: step.name, arguments: step.arguments }, undefined, options)),
  },
);
