# What a Ruby program does with redis-rb: commands, a pipeline, a transaction, an error, a discarded transaction.
# usage: ruby client.rb PORT INDEX USER ITEM OTHER. Prints one JSON object.
require "json"
require "redis"

port, index, user, item, other = ARGV
client = Redis.new(host: "127.0.0.1", port: port.to_i, timeout: 10)
out = { ping: client.ping, topk: client.call("TOPK", user, "5", "INDEX", index) }
out[:pipeline] = client.pipelined { |p| 500.times { |i| p.echo(i.to_s) } }.map(&:to_i)
live = "#{user}-rb"
out[:exec] = client.multi do |t|
  t.call("EVENT", live, item)
  t.call("EVENT", live, other)
  t.call("SEEN", live)
end
begin
  client.multi do |t|
    t.call("EVENT", live, item)
    t.call("EVENT", live, "absent")
  end
  out[:refused] = ""
rescue Redis::BaseError => e
  out[:refused] = e.message
end
out[:seen] = client.call("SEEN", live)
begin
  client.call("TOPK", "nobody at all", "5", "INDEX", index)
  out[:error] = ""
rescue Redis::BaseError => e
  out[:error] = e.message
end
client.quit
puts JSON.generate(out)
