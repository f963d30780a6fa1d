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


def status(value):
    return "PONG" if value is True else "OK" if value is True else text(value)


def like_redis_py(module, port, index, user, item, other):
    """redis-py, and valkey-py, which came from it."""
    client = module.Redis(port=port, socket_timeout=10, decode_responses=True)
    out = {"ping": "PONG" if client.ping() else "", "topk": client.execute_command("TOPK", user, 5, "INDEX", index)}
    with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.echo(str(number))
        out["pipeline"] = [int(n) for n in pipeline.execute()]
    with client.pipeline() as pipeline:
        pipeline.execute_command("EVENT", user, item)
        pipeline.execute_command("EVENT", user, other)
        pipeline.execute_command("SEEN", user)
        first, second, seen = pipeline.execute()
        out["exec"] = ["OK" if first in (True, "OK") else first, "OK" if second in (True, "OK") else second, seen]
    try:
        with client.pipeline() as pipeline:
            pipeline.execute_command("EVENT", user, item)
            pipeline.execute_command("EVENT", user, "absent")
            pipeline.execute()
        out["refused"] = ""
    except module.exceptions.RedisError if hasattr(module.exceptions, "RedisError") else module.ValkeyError as error:
        out["refused"] = f"{type(error).__name__} {error}"
    out["seen"] = client.execute_command("SEEN", user)
    try:
        client.execute_command("TOPK", NOBODY, 5, "INDEX", index)
        out["error"] = ""
    except module.exceptions.ResponseError as error:
        out["error"] = str(error)
    return out


async def with_coredis(port, index, user, item, other):
    import coredis
    from coredis.commands import CommandRequest  # noqa: F401  (says early that this is the coredis that is meant)

    client = coredis.Redis(port=port, decode_responses=True)
    async with client:
        out = {"ping": text(await client.ping())}
        out["topk"] = text(await client.execute_command_text("TOPK", user, "5", "INDEX", index))
    return out


async def with_glide(port, index, user, item, other):
    from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress, RequestError

    configuration = GlideClientConfiguration([NodeAddress("127.0.0.1", port)], request_timeout=10_000)
    client = await GlideClient.create(configuration)
    out = {"ping": text(await client.ping())}
    out["topk"] = text(await client.custom_command(["TOPK", user, "5", "INDEX", index]))
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
