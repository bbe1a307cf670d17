// What the programs of this folder that run on Node have in common: they take a list of steps from their command line, print
// what happened as one JSON line each, and listen for the browser's redirect.
//
//   node typescript.mjs '{"url":"http://…/mcp","port":40000,"folder":"/tmp/…","steps":[{"do":"tools"},…]}'
//
// A login that the client wants is a line {"event":"login_wanted","url":…}: the story opens the URL in a browser.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

export const order = JSON.parse(process.argv[2]);
export const redirect = `http://127.0.0.1:${order.port}/callback`;
// A user tries a call again that often.
const TRIES = 3;

export const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
export const loginWanted = (url) => print({ event: "login_wanted", url: String(url) });

// Loads packages from a folder that `cargo xtask setup` has filled.
export const packagesOf = (variable) => createRequire(join(process.env[variable], "package.json"));
export const versionOf = (variable, name) => {
  const file = join(process.env[variable], "node_modules", name, "package.json");
  return JSON.parse(readFileSync(file, "utf8")).version;
};

export const reason = (error) => {
  const reasons = [];
  for (let each = error; each && reasons.length < 4; each = each.cause) reasons.push(String(each.message ?? each));
  return reasons.join(": ");
};

export const text = (result) => {
  if (result.isError) throw new Error(`the tool failed: ${JSON.stringify(result.content)}`);
  return result.content.map((part) => part.text ?? part.type).join(" ");
};

// The browser's redirects: `next()` is the query of the next one that has come, or comes.
export function redirects() {
  const come = [];
  const wait = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, redirect);
    response.end("You may close this page.");
    if (url.pathname !== "/callback") return;
    const waiting = wait.shift();
    if (waiting) waiting(url.searchParams);
    else come.push(url.searchParams);
  });
  server.listen(order.port, "127.0.0.1");
  return { next: () => (come.length > 0 ? come.shift() : new Promise((resolve) => wait.push(resolve))) };
}

// What a client remembers: in the folder that `order.store` names (so that processes can share it), or in memory. Each thing
// has a file of its own: with one file for all, a process that stores what it has discovered writes back the tokens that it has
// read, over those that another process has refreshed since, and the login ends when a refresh token comes back much later.
export function memory() {
  const folder = order.store;
  if (!folder) {
    const held = {};
    return {
      get: (name) => held[name],
      set: (name, value) => (held[name] = value),
    };
  }
  const fileOf = (name) => join(folder, `${name}.json`);
  return {
    get: (name) => (existsSync(fileOf(name)) ? JSON.parse(readFileSync(fileOf(name), "utf8")).value : undefined),
    set(name, value) {
      // Another process never reads half of it.
      const part = join(folder, `${name}.${process.pid}`);
      writeFileSync(part, JSON.stringify({ value }));
      renameSync(part, fileOf(name));
    },
  };
}

// Takes all steps. `does` has `connect`, `tools` (a count) and `call` (its text).
export async function takeSteps(client, does) {
  print({ event: "client", ...client });
  const all = {
    ...does,
    connect: async () => (await does.connect()) ?? {},
    tools: async () => ({ count: await does.tools() }),
    // As a user does when trying again.
    async call(step) {
      for (let failures = 0; ; failures += 1) {
        try {
          return { failures, text: await does.call(step) };
        } catch (error) {
          if (failures + 1 === TRIES) throw error;
          print({ event: "call_failed", message: reason(error) });
        }
      }
    },
    // Until there is a file of this name.
    async until(step) {
      print({ event: "idle" });
      while (!existsSync(step.file)) await pause(0.1);
      return {};
    },
  };
  for (const step of [{ do: "connect" }, ...order.steps]) {
    try {
      print({ step: step.do, ok: true, ...(await all[step.do](step)) });
    } catch (error) {
      print({ step: step.do, ok: false, message: reason(error) });
    }
  }
  print({ step: "end", ok: true });
  process.exit(0);
}
