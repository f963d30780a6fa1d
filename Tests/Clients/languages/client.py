"""What Python programs do with four clients: commands, a pipeline, a transaction, an error, a discarded transaction.

usage: client.py CLIENT PORT INDEX USER ITEM OTHER. CLIENT: redis, valkey, coredis or glide. Prints one JSON object.
"""

import asyncio
import json
import sys

NOBODY = "nobody at all"


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | tuple):
        return [text(v) for v in value]
    return value


def ok(reply):
    """Some clients make a truth of OK."""
    return "OK" if reply is True else reply


def like_redis_py(module, port, index, user, item, other):
    """redis-py, and valkey-py, which came from it."""
    client = module.from_url(f"redis://127.0.0.1:{port}", socket_timeout=10, decode_responses=True)
    out = {"ping": "PONG" if client.ping() else "", "topk": client.execute_command("TOPK", user, 5, "INDEX", index)}
    user += "-" + module.__name__
    with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.echo(str(number))
        out["pipeline"] = [int(n) for n in pipeline.execute()]
    with client.pipeline() as pipeline:
        pipeline.execute_command("EVENT", user, item)
        pipeline.execute_command("EVENT", user, other)
        pipeline.execute_command("SEEN", user)
        first, second, seen = pipeline.execute()
        out["exec"] = [ok(first), ok(second), seen]
    try:
        with client.pipeline() as pipeline:
            pipeline.execute_command("EVENT", user, item)
            pipeline.execute_command("EVENT", user, "absent")
            pipeline.execute()
        out["refused"] = ""
    except module.exceptions.ResponseError as error:
        out["refused"] = f"{type(error).__name__} {error}"
    out["seen"] = client.execute_command("SEEN", user)
    try:
        client.execute_command("TOPK", NOBODY, 5, "INDEX", index)
        out["error"] = ""
    except module.exceptions.ResponseError as error:
        out["error"] = str(error)
    client.close()
    return out


async def with_coredis(port, index, user, item, other):
    import coredis

    def command(target, *words):
        return target.create_request(words[0].encode(), *words[1:], callback=lambda reply: reply)

    async with coredis.Redis(port=port, decode_responses=True) as client:
        out = {"ping": text(await client.ping()), "topk": await command(client, "TOPK", user, "5", "INDEX", index)}
        user += "-coredis"
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(500):
                pipeline.echo(str(number))
        out["pipeline"] = [int(n) for n in pipeline.results]
        async with client.pipeline() as pipeline:
            command(pipeline, "EVENT", user, item)
            command(pipeline, "EVENT", user, other)
            command(pipeline, "SEEN", user)
        out["exec"] = text(list(pipeline.results))
        try:
            async with client.pipeline() as pipeline:
                command(pipeline, "EVENT", user, item)
                command(pipeline, "EVENT", user, "absent")
            out["refused"] = ""
        except coredis.exceptions.RedisError as error:
            out["refused"] = f"{type(error).__name__} {error}"
        out["seen"] = await command(client, "SEEN", user)
        try:
            await command(client, "TOPK", NOBODY, "5", "INDEX", index)
            out["error"] = ""
        except coredis.exceptions.RedisError as error:
            out["error"] = f"{type(error).__name__} {error}"
    return out


async def with_glide(port, index, user, item, other):
    from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress, RequestError

    configuration = GlideClientConfiguration([NodeAddress("127.0.0.1", port)], request_timeout=10_000)
    client = await GlideClient.create(configuration)
    out = {"ping": text(await client.ping())}
    out["topk"] = text(await client.custom_command(["TOPK", user, "5", "INDEX", index]))
    user += "-glide"
    plain = Batch(is_atomic=False)
    for number in range(500):
        plain.echo(str(number))
    out["pipeline"] = [int(n) for n in await client.exec(plain, raise_on_error=True)]
    atomic = Batch(is_atomic=True)
    atomic.custom_command(["EVENT", user, item])
    atomic.custom_command(["EVENT", user, other])
    atomic.custom_command(["SEEN", user])
    out["exec"] = text(await client.exec(atomic, raise_on_error=True))
    try:
        refused = Batch(is_atomic=True)
        refused.custom_command(["EVENT", user, item])
        refused.custom_command(["EVENT", user, "absent"])
        await client.exec(refused, raise_on_error=True)
        out["refused"] = ""
    except RequestError as error:
        out["refused"] = f"{type(error).__name__} {error}"
    out["seen"] = text(await client.custom_command(["SEEN", user]))
    try:
        await client.custom_command(["TOPK", NOBODY, "5", "INDEX", index])
        out["error"] = ""
    except RequestError as error:
        out["error"] = str(error)
    await client.close()
    return out


def main():
    name, port, *rest = sys.argv[1:]
    if name == "coredis":
        out = asyncio.run(with_coredis(int(port), *rest))
    elif name == "glide":
        out = asyncio.run(with_glide(int(port), *rest))
    else:
        out = like_redis_py(__import__(name), int(port), *rest)
    print(json.dumps(out))


main()
