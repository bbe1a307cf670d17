// The inspector's CLI, unmodified: a process of its own for each step, with its tokens in its home. Steps and lines: steps.mjs.
import { spawn } from "node:child_process";
import { join } from "node:path";

import { loginWanted, order, takeSteps, text, versionOf } from "./steps.mjs";

const packageName = "@modelcontextprotocol/inspector";
const program = join(process.env.PROGRAMS_FOLDER, "node_modules", packageName, "clients/launcher/build/index.js");
const LOGIN_MILLISECONDS = "120000";

function inspector(method, ...more) {
  const callback = `http://127.0.0.1:${order.port}/oauth/callback`;
  const common = ["--cli", "--server-url", order.url, "--transport", "http", "--callback-url", callback];
  const args = [program, ...common, "--connect-timeout", LOGIN_MILLISECONDS, "--format", "json", "--method", method, ...more];
  const child = spawn(process.execPath, args, {
    cwd: order.folder,
    env: {
      PATH: process.env.PATH,
      HOME: order.folder,
      NO_COLOR: "1",
      // Without a terminal it starts a login only if it may open a browser; it prints the address all the same.
      MCP_AUTO_OPEN_ENABLED: "true",
      BROWSER: "true",
      // Where there is no keychain, the next command finds its tokens in a file.
      MCP_INSPECTOR_SECRET_STORE: "file",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [printed, result] = ["", ""];
  child.stdout.on("data", (part) => {
    result += part;
  });
  let announced = false;
  child.stderr.on("data", (part) => {
    printed += part;
    const found = /Please navigate to: (http\S+)\s/.exec(printed);
    if (found && !announced) {
      announced = true;
      loginWanted(found[1]);
    }
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(result));
      else reject(new Error(`exit ${code}: ${printed.slice(-2000)} ${result.slice(-500)}`));
    });
  });
}

await takeSteps(
  { name: "Inspector CLI", version: versionOf("PROGRAMS_FOLDER", packageName) },
  {
    // It connects with each command.
    connect: async () => {
      await inspector("tools/list");
    },
    tools: async () => {
      const answer = await inspector("tools/list");
      return (answer.tools ?? answer.result.tools).length;
    },
    call: async (step) => {
      const answer = await inspector("tools/call", "--tool-name", step.name, "--tool-args-json", JSON.stringify(step.arguments));
      return text(answer.content ? answer : answer.result);
    },
  },
);
