// What a Node program does with node-redis 4: commands, a pipeline, a transaction, an error, a discarded transaction.
// usage: NODE_PATH=/usr/share/nodejs node client.js PORT INDEX USER ITEM OTHER. Prints one JSON object.
"use strict";
const { createClient } = require("redis");

async function main() {
  const [port, index, user, item, other] = process.argv.slice(2);
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(port), connectTimeout: 10000 } });
  client.on("error", () => {});
  await client.connect();
  const out = { ping: await client.ping() };
  out.topk = await client.sendCommand(["TOPK", user, "5", "INDEX", index]);
  // Commands of one turn go out as one pipeline.
  out.pipeline = (await Promise.all([...Array(500).keys()].map((i) => client.echo(String(i))))).map(Number);
  out.exec = await client
    .multi()
    .addCommand(["EVENT", user + "-js", item])
    .addCommand(["EVENT", user + "-js", other])
    .addCommand(["SEEN", user + "-js"])
    .exec();
  try {
    await client.multi().addCommand(["EVENT", user + "-js", item]).addCommand(["EVENT", user + "-js", "absent"]).exec();
    out.refused = "";
  } catch (error) {
    out.refused = String(error.message);
  }
  out.seen = await client.sendCommand(["SEEN", user + "-js"]);
  try {
    await client.sendCommand(["TOPK", "nobody at all", "5", "INDEX", index]);
    out.error = "";
  } catch (error) {
    out.error = String(error.message);
  }
  await client.quit();
  console.log(JSON.stringify(out));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
