// A process of a client that does nothing but refresh: it reads the refresh token that it shares with other processes, waits
// until all of them may go on, refreshes and stores the answer. `order.url` is the token endpoint.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { memory, order, pause, print } from "./steps.mjs";

const { rounds, gates } = order.steps[0];
const stored = memory();

async function gate(name) {
  while (!existsSync(join(gates, name))) await pause(0.01);
}

for (let round = 0; round < rounds; round += 1) {
  await gate(`read-${round}`);
  const { refresh_token } = stored.get("tokens");
  const { client_id } = stored.get("client");
  print({ event: "ready" });
  await gate(`refresh-${round}`);
  const response = await fetch(order.url, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "refresh_token", refresh_token, client_id }),
  });
  const text = await response.text();
  if (response.ok) stored.set("tokens", JSON.parse(text));
  // The same tokens have the same name; the tokens themselves are not printed.
  const tokens = createHash("sha256").update(response.ok ? JSON.parse(text).refresh_token : "").digest("hex").slice(0, 16);
  print({ step: "refresh", ok: response.ok, status: response.status, tokens, answer: response.ok ? null : text });
}
process.exit(0);
